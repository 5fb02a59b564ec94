"""netem's words for what our emulator does, as tc takes them."""

import pytest

from actors.docker.programs import netem
from actors.docker.programs.fields import Malformed

SHAPED = {"latency_ms": 50, "jitter_ms": 10, "correlation": 25, "distribution": "normal"}
BURSTS = {"gilbert_elliott": {"enter": 1, "leave": 20, "loss_bad": 90, "loss_good": 0.5}}


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        ("network_latency", {"latency_ms": 50}, "delay 50ms"),
        ("network_latency", {"latency_ms": 0.5, "jitter_ms": 0.25}, "delay 0.5ms 0.25ms 0%"),
        ("network_latency", SHAPED, "delay 50ms 10ms 25% distribution normal"),
        ("network_loss", {"percent": 12.5, "correlation": 5}, "loss random 12.5% 5%"),
        ("network_loss", BURSTS, "loss gemodel 1% 20% 90% 0.5%"),
        ("network_duplication", {"percent": 1}, "duplicate 1% 0%"),
        ("network_corruption", {"percent": 2}, "corrupt 2% 0%"),
        ("network_reordering", {"percent": 25, "delay_ms": 20}, "delay 20ms reorder 25% 0%"),
    ],
)
def test_words(kind: str, params: dict[str, object], words: str) -> None:
    """Milliseconds and per cent with their units; a table only where it is not netem's own."""
    assert netem.netem({"of": kind, **params}, "params").words == words


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({}, "p.of: missing; one of "),
        ({"of": "network_bandwidth"}, "p.of: one of network_latency, "),
        ({"of": "network_loss", "percent": 101}, "p.percent: a number from 0 to 100 is due, not 101"),
        ({"of": "network_loss", "percent": 1, "latency_ms": 1}, "p.latency_ms: unknown field"),
        ({"of": "network_latency", "latency_ms": -1}, "p.latency_ms: a number from 0 to 600000 is due, not -1"),
    ],
)
def test_what_is_wrong_is_named(params: dict[str, object], error: str) -> None:
    """With where it is, and what is due."""
    with pytest.raises(Malformed) as caught:
        netem.netem(params, "p")
    assert str(caught.value).startswith(error)


def test_it_has_a_class_of_its_own() -> None:
    """One that limits nothing, so that nft leads only the fault's packets into it."""
    lines = netem.limit("tcifb0", 3, netem.Netem("delay 50ms"))
    assert [line.split()[:2] for line in lines] == [["class", "replace"], ["qdisc", "replace"]]
    assert "classid 7c01:13 " in lines[0]
    assert lines[1] == "qdisc replace dev tcifb0 parent 7c01:13 netem limit 100000 delay 50ms"
