"""A network namespace's kernel as far as our programs speak to it: tables of nft, devices, classes; and the programs to
which it hands packets, as far as they are told rules. Understands only what it is told, and fails at all else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from actors.docker.programs import emulation, nft_tables, shaping
from actors.docker.programs.emulation import Emulation
from actors.docker.programs.nft_tables import Failed

INTERFACES = ("lo", "eth0")


class PretendedKernel:
    """What is in the namespace."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[str]]] = {}
        """By family and name: the rules of each chain; `sets` has those that hold elements."""
        self.classes: dict[str, set[str]] = {}
        """The classes of each of our devices."""
        self.played: dict[str, list[dict[str, Any]]] = {}
        """The rules of each program that runs."""
        self.waiting_is_safe = 0
        """Above 0 while everything passes."""

    def run(self, argv: list[str], text: str = "") -> str:
        """As `nft_tables.run`. Raises Failed."""
        match argv:
            case ["nft", "-f", "-"]:
                for line in text.splitlines():
                    self._nft(line)
                return ""
            case ["nft", "-j", "list", "ruleset"]:
                return json.dumps({"nftables": [*self._listed()]})
            case ["nft", "--stateless", "list", "ruleset", "netdev"]:
                return "".join(
                    f"table {name} {{\n" + "\n".join(rule for rules in chains.values() for rule in rules) + "\n}\n"
                    for name, chains in self.tables.items()
                    if name.startswith("netdev ")
                )
            case _:
                return self._link(argv, text)

    def _link(self, argv: list[str], text: str) -> str:
        match argv:
            case ["ip", "link", "add", device, "type", "ifb"]:
                assert device not in self.classes
                self.classes[device] = set()
            case ["ip", "link", "del", device]:
                assert not any(device in rule for chains in self.tables.values() for c in chains.values() for rule in c)
                del self.classes[device]
            case ["tc", "qdisc", "show", "dev", device]:
                return f"qdisc htb 7c01: root refcnt 2 on {device}\n"
            case ["tc", "-s", "class", "show", "dev", device]:
                return "".join(f"class htb {each} root\n backlog 0b 0p\n" for each in sorted(self.classes[device]))
            case ["tc", "-batch", "-"]:
                for line in text.splitlines():
                    self._tc(line)
            case ["ip", "link", "set", _, "up"] | ["tc", "qdisc", "add", "dev", _, "root", "handle", "7c01:", "htb"]:
                pass
            case _:
                raise AssertionError(argv)
        return ""

    def links(self) -> frozenset[tuple[int, str]]:
        """As `shaping.links`."""
        return frozenset(enumerate((*INTERFACES, *sorted(self.classes)), 1))

    def say(self, player: Emulation, line: dict[str, Any]) -> dict[str, Any]:
        """As `Emulation._say`."""
        if "rules" in line:
            self.played[player.sort.name] = line["rules"]
        if "pass" in line:
            self.waiting_is_safe += 1 if line["pass"] else -1
        return {}

    def end(self, player: Emulation) -> None:
        """As `Emulation.end`."""
        player._rules = {}
        self.played.pop(player.sort.name, None)

    def _nft(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "table":
            self.tables.setdefault(rest, {})
            return
        what, _, rest = rest.partition(" ")
        name = " ".join(rest.split(maxsplit=2)[:2])
        rest = rest.removeprefix(name).strip()
        if (word, what) == ("add", "table"):
            self.tables.setdefault(name, {})
        elif (word, what) == ("delete", "table"):
            chains = self.tables.pop(name)
            # A chain that goes takes with it what waits.
            assert not any(chains.keys() - {"sets"}) or not self.played or self.waiting_is_safe
        elif (word, what) == ("flush", "chain"):
            self.tables[name][rest] = []
        elif (word, what) == ("add", "rule"):
            chain, _, rule = rest.partition(" ")
            self.tables[name].setdefault(chain, []).append(rule)
        elif (word, what) == ("add", "element"):
            self.tables[name].setdefault("sets", []).append(rest)
        elif (word, what) == ("flush", "set"):
            kept = [each for each in self.tables[name].get("sets", []) if not each.startswith(f"{rest} ")]
            self.tables[name]["sets"] = kept
        elif (word, what) not in {("add", "chain"), ("add", "set"), ("add", "counter")}:
            raise AssertionError(line)

    def _tc(self, line: str) -> None:
        found = re.fullmatch(r"(class|qdisc) (\w+) dev (\w+) .*?(?:classid|parent) (7c01:\w+)( .*)?", line)
        assert found, line
        what, verb, device, _, _ = found.groups()
        if what == "qdisc":
            return
        class_id = line.partition("classid ")[2].split()[0]
        if verb == "replace":
            self.classes[device].add(class_id)
        elif class_id not in self.classes[device]:
            raise Failed(f"no class {class_id}")
        elif verb == "del":
            self.classes[device].remove(class_id)

    def _listed(self) -> Iterator[dict[str, dict[str, Any]]]:
        for name, chains in self.tables.items():
            family, table = name.split()
            yield {"table": {"family": family, "name": table, "comment": ""}}
            yield {"counter": {"table": table, "packets": 1, "bytes": 100}}
            yield {"set": {"table": table, "name": "x", "elem": chains.get("sets", [])}}


@contextmanager
def pretended() -> Iterator[PretendedKernel]:
    """Our programs speak to this one in place of the real one."""
    kernel = PretendedKernel()

    def say(player: Emulation, line: dict[str, Any]) -> dict[str, Any]:
        return kernel.say(player, line)

    def alive(player: Emulation) -> bool:
        return player.sort.name in kernel.played

    def end(player: Emulation) -> None:
        kernel.end(player)

    with ExitStack() as stack:
        for where, name, what in (
            (nft_tables, "run", kernel.run),
            (shaping, "run", kernel.run),
            (shaping, "links", kernel.links),
            (emulation, "queues_natively", lambda: True),
            (Emulation, "_say", say),
            (Emulation, "_alive", alive),
            (Emulation, "end", end),
        ):
            stack.enter_context(patch.object(where, name, what))
        yield kernel
