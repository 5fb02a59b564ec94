"""Which packets are meant, as nft rules."""

import re

import pytest

from actors.docker.programs.fields import Malformed
from actors.docker.programs.traffic import ANYWHERE, SLOTS, free_slot, traffic


def test_nothing_said_is_everything_but_loopback() -> None:
    """All addresses of both families."""
    assert traffic(None, "m") == traffic({}, "m") == traffic({"peers": list(ANYWHERE)}, "m")
    assert traffic(None, "m").matches() == ['iifname != "lo" ip saddr @from4', 'iifname != "lo" ip6 saddr @from6']


def test_peers_are_told_apart_by_family() -> None:
    """Addresses become networks, each once, in one order, whichever they were given in."""
    about = traffic({"peers": ["fd00::5/64", "10.1.0.1", "10.0.0.1", "10.1.0.1/32"]}, "m")
    assert about.ipv4 == ("10.0.0.1/32", "10.1.0.1/32")
    assert about.ipv6 == ("fd00::/64",)


def test_peers_that_overlap_are_one() -> None:
    """A set takes no address beside the network that holds it, nor one network twice."""
    about = traffic({"peers": ["10.9.9.9", "10.9.9.0/26", "10.9.9.64/26", "fd00::1", "fd00::/8"]}, "m")
    assert about.ipv4 == ("10.9.9.0/25",)
    assert about.ipv6 == ("fd00::/8",)


def test_slots_are_given_until_there_is_none() -> None:
    """The lowest that is free, then an error that says how many there are."""
    assert free_slot({0, 1, 3}) == 2
    with pytest.raises(Malformed, match="16 faults"):
        free_slot(set(range(SLOTS)))


def test_ports_are_of_either_end() -> None:
    """The target's own for what it serves, the other side's for what it calls."""
    matches = traffic({"ports": [80, 443, 80]}, "m").matches("to")
    assert matches[:2] == [
        'oifname != "lo" ip daddr @to4 meta l4proto { tcp, udp } th dport { 80, 443 }',
        'oifname != "lo" ip daddr @to4 meta l4proto { tcp, udp } th sport { 80, 443 }',
    ]
    assert len(matches) == 4


@pytest.mark.parametrize(
    ("protocol", "ports", "condition"),
    [
        ("udp", [53], "meta l4proto udp th dport { 53 }"),
        ("tcp", [], "meta l4proto tcp"),
        ("icmp", [], "meta l4proto { 1, 58 }"),
    ],
)
def test_a_protocol_narrows(protocol: str, ports: list[int], condition: str) -> None:
    """With ports or without."""
    assert traffic({"protocol": protocol, "ports": ports}, "m").matches()[0].endswith(condition)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"peers": ["10.0.0.1", "nobody"]}, "m.peers[1]: an address or a network is due, not 'nobody'"),
        ({"peers": ["fe80::1%eth0"]}, "m.peers[0]: an address without a zone (%eth0) is due, not 'fe80::1%eth0'"),
        ({"peers": ["fe80::%1/64"]}, "m.peers[0]: an address without a zone"),
        ({"peers": []}, "m.peers: at least one"),
        ({"ports": [0]}, "m.ports: a list of whole numbers from 1 to 65535"),
        ({"ports": [1], "protocol": "icmp"}, "m.ports: icmp has no ports"),
        ({"protocol": "ftp"}, "m.protocol: one of any, tcp, udp, icmp"),
        ({"x": 1}, "m.x: unknown field"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, object], error: str) -> None:
    """With the field's name."""
    with pytest.raises(Malformed, match=f"^{re.escape(error)}"):
        traffic(given, "m")
