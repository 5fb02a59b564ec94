from coordinator.control import newest
from coordinator.record import Sample

SAMPLES = tuple(Sample(index / 10, ok=True) for index in range(100))


def offsets(after_s: float, limit: int) -> list[float]:
    """Of the samples that are returned."""
    return [sample.offset_s for sample in newest("api", SAMPLES, after_s, limit).samples]


def test_the_newest_samples_are_those_due_later() -> None:
    """Samples due after a point in time, without the one due at it; none when there are none."""
    assert offsets(9.7, 50) == [9.8, 9.9]
    assert offsets(9.9, 50) == []
    assert offsets(-1, 200) == [sample.offset_s for sample in SAMPLES]
    assert newest("api", (), -1, 5).samples == ()


def test_no_more_than_the_limit_and_the_last_of_them() -> None:
    """Where more are due than are wanted, the newest are taken."""
    assert offsets(-1, 2) == [9.8, 9.9]
    assert offsets(9.85, 2) == [9.9]
