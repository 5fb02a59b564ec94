"""Commands and chains for less bandwidth. That they shape is in the integration tests."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.docker.programs import bandwidth
from actors.docker.programs.bandwidth import Bandwidth
from actors.docker.programs.fields import Malformed
from actors.docker.programs.traffic import SLOTS, traffic


def test_what_is_not_said_has_a_default() -> None:
    """Both ways; a burst of 10 ms, and of 16 KiB at least."""
    assert bandwidth.bandwidth({"rate_bit": 1_000_000}, "p") == Bandwidth(1_000_000, 16_384, "both")
    assert bandwidth.bandwidth({"rate_bit": 1e9}, "p").burst == 1_250_000
    assert bandwidth.bandwidth({"rate_bit": 1e6, "burst_bytes": 3000, "direction": "in"}, "p").direction == "in"


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({}, "p.rate_bit: missing"),
        ({"rate_bit": 0}, "p.rate_bit: a number from 8000"),
        ({"rate_bit": 1e6, "burst_bytes": 100}, "p.burst_bytes: a number from 1514"),
        ({"rate_bit": 1e6, "direction": "up"}, "p.direction: one of both, out, in"),
        ({"rate_bit": 1e6, "x": 1}, "p.x: unknown field"),
    ],
)
def test_bad_parameters_are_named(params: dict[str, object], error: str) -> None:
    """With the field and what is due."""
    with pytest.raises(Malformed, match=f"^{re.escape(error)}"):
        bandwidth.bandwidth(params, "p")


@given(st.integers(bandwidth.LEAST_RATE, bandwidth.MOST_RATE))
def test_a_full_queue_drains_in_less_than_half_a_second(rate: int) -> None:
    """Unless it is so slow that even few packets take longer: there are always some that may wait."""
    waiting = Bandwidth(rate, 16_384, "both").queue
    assert waiting >= bandwidth.LEAST_QUEUE
    assert waiting == bandwidth.LEAST_QUEUE or waiting * bandwidth.PACKET * 8 / rate <= 0.5


def test_every_slot_has_a_class_of_its_own() -> None:
    """And nft and tc are told the same one."""
    classes = {bandwidth.class_id(slot) for slot in range(SLOTS)}
    assert len(classes) == SLOTS
    out = bandwidth.leaving(traffic(None, "m"), 3, ["eth0", "eth1"])
    into = bandwidth.arriving(traffic(None, "m"), 3, ["eth0", "eth1"])
    for rule in (*out.rules, *into.rules):
        assert "meta priority set 7c01:13" in rule
    assert all(rule.endswith('fwd to "tcifb0"') for rule in into.rules)
    assert all(rule.endswith('fwd to "tcifb1"') for rule in out.rules)
    assert out.devices == into.devices == ("eth0", "eth1")
    assert all("classid 7c01:13 " in line for line in bandwidth.limit("eth0", 3, Bandwidth(10**6, 2000, "out"))[:1])


def test_a_limited_class_drains_before_it_goes() -> None:
    """And a device is up and has its tree before anything is led there."""
    assert f"rate {bandwidth.MOST_RATE}bit" in bandwidth.drained("tcifb0", 2)[0]
    assert bandwidth.removed("tcifb0", 2) == ["class del dev tcifb0 classid 7c01:12"]
    assert [argv[:3] for argv in bandwidth.made("tcifb0")] == [
        ["ip", "link", "add"], ["ip", "link", "set"], ["tc", "qdisc", "add"],
    ]  # fmt: skip
    assert bandwidth.unmade("tcifb0") == [["ip", "link", "del", "tcifb0"]]
