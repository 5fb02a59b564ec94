from coordinator.control import _told, newest
from coordinator.record import Sample
from tests.unit.warden.owing import row

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


def test_an_undo_that_was_not_tried_says_why() -> None:
    """A row without an error of its own is told with what kept the pass from it, such as an engine that is away."""
    untried = row(1)
    stuck = untried.model_copy(update={"last_error": "the engine refused"})
    assert list(_told([untried], "no engine answers").failed.values()) == ["no engine answers"]
    assert list(_told([stuck], "no engine answers").failed.values()) == ["the engine refused"]
    assert list(_told([untried]).failed.values()) == ["still active"]
