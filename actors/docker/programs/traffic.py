"""Which packets a fault is about: by the addresses of the other side, protocol and ports, as fragments of nft rules.

Peers are written as the sets @from4 and @from6 or @to4 and @to6, which somebody else makes and keeps alive: they are
the lease. Runs nothing.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from actors.docker.programs.fields import Fields, Malformed

ANYWHERE = ("0.0.0.0/0", "::/0")
PROTOCOLS = ("any", "tcp", "udp", "icmp")
WITH_PORTS = ("tcp", "udp")
MAX_PORT = 65_535


SLOTS = 16
"""As many faults of the emulator, and as many of bandwidth, a namespace can have at once. Each is told by its slot."""


class Chain(NamedTuple):
    """A chain on a hook, and its rules; of the family netdev where it names devices, else of inet."""

    name: str
    hook: str
    priority: int
    rules: tuple[str, ...]
    devices: tuple[str, ...] = ()


class Traffic(NamedTuple):
    """Packets exchanged with these networks. Ports are of either end: the target's own, or the other side's."""

    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]
    protocol: str
    ports: tuple[int, ...]

    def matches(self, side: str = "from") -> list[str]:
        """Rules' left sides for packets that come `from` the other side or go `to` it; one is enough to match."""
        address = {"from": "saddr", "to": "daddr"}[side]
        return [
            f'{interface} != "lo" {family} {address} @{side}{version}{condition}'
            for interface in ("iifname" if side == "from" else "oifname",)
            for family, version in (("ip", 4), ("ip6", 6))
            for condition in self._conditions()
        ]

    def _conditions(self) -> list[str]:
        if self.ports:
            protocols = self.protocol if self.protocol in WITH_PORTS else "{ tcp, udp }"
            listed = ", ".join(str(port) for port in self.ports)
            return [f" meta l4proto {protocols} th {end} {{ {listed} }}" for end in ("dport", "sport")]
        if self.protocol == "any":
            return [""]
        # By number: nft knows the name of ICMP for IPv6 from /etc/protocols alone, and a helper image has none.
        protocols = "{ 1, 58 }" if self.protocol == "icmp" else self.protocol
        return [f" meta l4proto {protocols}"]


def free_slot(taken: set[int]) -> int:
    """A slot that no fault of its sort in the namespace has. Raises Malformed when there is none."""
    for slot in range(SLOTS):
        if slot not in taken:
            return slot
    raise Malformed(f"{SLOTS} faults of this sort are on in this network namespace already: no more than that at once")


def traffic(given: object, where: str) -> Traffic:
    """Read `peers`, `ports` and `protocol`, each of which may be missing: then all are meant. Raises Malformed."""
    fields = Fields({} if given is None else given, where)
    peers = fields.texts("peers", list(ANYWHERE))
    protocol = fields.text("protocol", "any", PROTOCOLS)
    ports = sorted(set(fields.whole_numbers("ports", 1, MAX_PORT)))
    fields.end()
    if not peers:
        raise Malformed(f"{where}.peers: at least one address or network is due, or no peers at all for everybody")
    if ports and protocol == "icmp":
        raise Malformed(f"{where}.ports: icmp has no ports")
    networks = [_network(text, f"{where}.peers[{place}]") for place, text in enumerate(peers)]
    # nft refuses a set in which one element lies within another.
    ipv4 = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv4Network))
    ipv6 = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv6Network))
    return Traffic(tuple(map(str, ipv4)), tuple(map(str, ipv6)), protocol, tuple(ports))


def _network(text: str, where: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if "%" in text:
        raise Malformed(f"{where}: an address without a zone (%eth0) is due, not {text!r}")
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Malformed(f"{where}: an address or a network is due, not {text!r}") from None
