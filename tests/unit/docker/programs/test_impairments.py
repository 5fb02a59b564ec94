"""What a bad network does, as statistics over seeded chance."""

import statistics
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.docker.programs.fields import Fields, Malformed
from actors.docker.programs.impairments import Correlated, Fate, Impairment, flipped, impairment

MANY = 20_000


def made(kind: str, **params: object) -> Impairment:
    """One of the kinds, with the same chance every time."""
    return impairment(kind, Fields(params, "params"), Random(1))


def fates(effect: Impairment, count: int = MANY) -> list[Fate]:
    """What becomes of this many packets."""
    found = [Fate() for _ in range(count)]
    for fate in found:
        effect.judge(fate)
    return found


def delays_ms(**params: object) -> list[float]:
    """The delays that a latency gives."""
    return [fate.delay_s * 1000 for fate in fates(made("network_latency", **params))]


def likeness(values: Sequence[float]) -> float:
    """The correlation of each value with the one before it."""
    return statistics.correlation(values[1:], values[:-1])


def test_without_jitter_all_wait_alike() -> None:
    """Exactly what was asked for."""
    assert set(delays_ms(latency_ms=50)) == {50}


def test_uniform_jitter_fills_its_range() -> None:
    """Nothing outside of latency plus and minus jitter, the mean in the middle, the edges reached."""
    found = delays_ms(latency_ms=50, jitter_ms=20)
    assert 30 <= min(found) < 30.1
    assert 69.9 < max(found) <= 70
    assert statistics.mean(found) == pytest.approx(50, abs=0.5)


def test_normal_jitter_is_normal() -> None:
    """Mean and deviation are as asked for, and two thirds lie within one deviation."""
    found = delays_ms(latency_ms=100, jitter_ms=10, distribution="normal")
    assert statistics.mean(found) == pytest.approx(100, abs=0.5)
    assert statistics.stdev(found) == pytest.approx(10, abs=0.3)
    assert sum(90 <= each <= 110 for each in found) / MANY == pytest.approx(0.683, abs=0.02)


def test_pareto_jitter_has_a_tail() -> None:
    """The mean near what was asked for, most below it, the worst four jitters above and no more."""
    found = delays_ms(latency_ms=100, jitter_ms=10, distribution="pareto")
    assert statistics.mean(found) == pytest.approx(100, abs=1)
    assert statistics.median(found) < 98
    assert min(found) >= 93
    assert max(found) == pytest.approx(140)


@given(st.floats(0, 600_000), st.floats(0, 600_000), st.sampled_from(["uniform", "normal", "pareto"]), st.integers())
def test_no_delay_is_negative(latency: float, jitter: float, shape: str, seed: int) -> None:
    """However large the jitter: a packet does not leave before it came."""
    params = Fields({"latency_ms": latency, "jitter_ms": jitter, "distribution": shape}, "p")
    effect = impairment("network_latency", params, Random(seed))
    assert all(fate.delay_s >= 0 for fate in fates(effect, 50))


@pytest.mark.parametrize("percent", [0, 50, 90])
def test_correlation_makes_the_next_like_the_last(percent: float) -> None:
    """Each number resembles the one before as much as asked for; the mean stays one half."""
    chances = Correlated(percent, Random(3))
    found = [chances.draw() for _ in range(MANY)]
    assert likeness(found) == pytest.approx(percent / 100, abs=0.03)
    assert statistics.mean(found) == pytest.approx(0.5, abs=0.03)
    assert 0 <= min(found) <= max(found) <= 1


def test_jitter_may_be_correlated() -> None:
    """Neighbouring packets then wait about as long."""
    assert likeness(delays_ms(latency_ms=50, jitter_ms=20, correlation=80)) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("percent", [0, 1, 10, 30, 100])
@pytest.mark.parametrize(
    ("kind", "field"),
    [("network_loss", "lost"), ("network_duplication", "copies"), ("network_corruption", "flips")],
)
def test_a_share_is_hit(kind: str, field: str, percent: float) -> None:
    """As many as asked for, and as many as are counted; none and all are exact."""
    effect = made(kind, percent=percent)
    hit = sum(bool(getattr(fate, field)) for fate in fates(effect))
    assert hit == effect.happened
    assert hit / MANY * 100 == pytest.approx(percent, abs=0.7 if 0 < percent < 100 else 0)


@given(st.integers(0, 100), st.integers())
def test_a_share_is_had_soon(percent: int, seed: int) -> None:
    """Exactly of 500 packets and of 2,000, where chance alone would miss 30 % by more than 1 in every third run."""
    effect = impairment("network_loss", Fields({"percent": percent}, "p"), Random(seed))
    lost = [fate.lost for fate in fates(effect, 2000)]
    assert (sum(lost[:500]), sum(lost)) == (percent * 5, percent * 20)


@pytest.mark.parametrize(("percent", "least"), [(1, 0.6), (5, 0.85), (30, 0.95)])
def test_losses_come_in_any_order(percent: float, least: float) -> None:
    """One is about as likely behind another as it is anywhere, and three in a row are as rare as that makes them."""
    lost = [fate.lost for fate in fates(made("network_loss", percent=percent), MANY * 20)]
    runs = [len(run) for run in "".join("x" if each else " " for each in lost).split()]
    behind = sum(run > 1 for run in runs) / len(runs)
    assert percent / 100 * least < behind < percent / 100 * 1.1
    assert sum(run > 2 for run in runs) / len(runs) == pytest.approx(behind**2, abs=0.01)


def test_losses_of_several_are_independent() -> None:
    """Two of 50 % leave a quarter."""
    first, second = (
        made("network_loss", percent=50),
        impairment("network_loss", Fields({"percent": 50}, "p"), Random(2)),
    )
    found = [Fate() for _ in range(MANY)]
    for fate in found:
        first.judge(fate)
        second.judge(fate)
    assert sum(not fate.lost for fate in found) / MANY == pytest.approx(0.25, abs=0.02)


def test_delays_of_several_add_up() -> None:
    """The packet waits for all."""
    fate = Fate()
    for effect in (made("network_latency", latency_ms=20), made("network_latency", latency_ms=30)):
        effect.judge(fate)
    assert fate.delay_s == pytest.approx(0.05)


def test_bursts_are_as_long_and_as_frequent_as_the_chances_say() -> None:
    """In the long run the link is bad for enter / (enter + leave), and for 1 / leave packets in a row."""
    found = [fate.lost for fate in fates(made("network_loss", gilbert_elliott={"enter": 2, "leave": 25}), MANY * 5)]
    assert sum(found) / len(found) == pytest.approx(2 / 27, abs=0.01)
    runs = "".join("x" if lost else " " for lost in found).split()
    assert statistics.mean(map(len, runs)) == pytest.approx(4, abs=0.3)


def test_each_state_of_a_link_loses_its_share() -> None:
    """A good one may lose as well, and a bad one less than all."""
    chances = {"enter": 10, "leave": 10, "loss_bad": 60, "loss_good": 20}
    found = fates(made("network_loss", gilbert_elliott=chances), MANY * 2)
    assert sum(fate.lost for fate in found) / len(found) == pytest.approx(0.4, abs=0.02)


def test_who_overtakes_does_not_wait() -> None:
    """A share goes at once, the others wait as long as asked for."""
    effect = made("network_reordering", percent=25, delay_ms=30)
    found = [fate.delay_s for fate in fates(effect)]
    assert set(found) == {0, 0.03}
    assert found.count(0) == effect.happened
    assert found.count(0) / MANY == pytest.approx(0.25, abs=0.02)


@given(st.binary(min_size=48, max_size=200), st.sampled_from([0x45, 0x46, 0x60]), st.integers())
def test_one_bit_is_wrong_behind_the_header(content: bytes, first: int, seed: int) -> None:
    """Exactly one, and never in the IP header, whichever its length."""
    content = bytes([first]) + content[1:]
    changed = flipped(content, Random(seed))
    different = [place for place, (one, two) in enumerate(zip(content, changed, strict=True)) if one != two]
    assert len(different) == 1
    assert different[0] >= {0x45: 20, 0x46: 24, 0x60: 40}[first]
    assert (content[different[0]] ^ changed[different[0]]).bit_count() == 1


def test_a_packet_that_is_all_header_stays() -> None:
    """There is nothing in it that a checksum would see."""
    assert flipped(b"\x45" + bytes(19), Random(1)) == b"\x45" + bytes(19)


@pytest.mark.parametrize(
    ("kind", "params", "error"),
    [
        ("network_latency", {}, "params.latency_ms: missing"),
        ("network_latency", {"latency_ms": -1}, "params.latency_ms: a number from 0 to 600000"),
        (
            "network_latency",
            {"latency_ms": 1, "distribution": "x"},
            "params.distribution: one of uniform, normal, pareto",
        ),
        ("network_loss", {"percent": 1, "colour": 2}, "params.colour: unknown field"),
        ("network_loss", {"gilbert_elliott": {"enter": 1}}, "params.gilbert_elliott.leave: missing"),
        ("network_loss", {"gilbert_elliott": {"enter": 1, "leave": 1}, "percent": 1}, "params.percent: unknown field"),
        ("network_corruption", {"percent": 1, "correlation": 101}, "params.correlation: a number from 0 to 100"),
        ("network_fog", {"percent": 1}, "kind: one of"),
    ],
)
def test_bad_parameters_are_named(kind: str, params: dict[str, object], error: str) -> None:
    """With the field and what is due."""
    with pytest.raises(Malformed, match=f"^{error}"):
        made(kind, **params)
