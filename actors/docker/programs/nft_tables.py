"""Our tables in the network namespace this runs in: one per fault, whose rules match only while the kernel keeps the
elements of its sets. Speaks to nft; knows no fault's meaning.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from typing import Any

from actors.docker.programs import nft_library
from actors.docker.programs.traffic import Chain

LEASE_S = 10.0
COMMAND_S = 10
NFT = "nft"
PREFIX = "tc_"


class Failed(Exception):
    """It could not be done; the text says why, for a person."""


class Lacking(Failed):
    """The same, for want of what the machine does not have: it would not go anywhere else on it."""


def nft(script: str) -> None:
    """Run one transaction: all of it takes effect at once, or nothing. Raises Failed."""
    run([NFT, "-f", "-"], script)


def run(argv: list[str], text: str = "") -> str:
    """A program's output. Raises Failed."""
    library = nft_library.loaded() if argv[0] == NFT else None
    status, out, error = nft_library.ask(library, argv[1:], text) if library else started(argv, text)
    if status != 0:
        lines = [line for line in error.splitlines() if line.strip()]
        raise Failed(f"{argv[0]}: " + (lines[0] if lines else f"status {status}"))
    return out


def started(argv: list[str], text: str) -> tuple[int, str, str]:
    """Status, output and complaints of a program. Raises Failed."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_S)
    except FileNotFoundError:
        raise Lacking(f"{argv[0]} is not installed here") from None
    except OSError as error:
        raise Failed(f"{argv[0]} could not be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{argv[0]} did not end within {COMMAND_S} s") from None
    return done.returncode, done.stdout, done.stderr


def accepts(script: str) -> bool:
    """Whether nft and the kernel would take this; changes nothing."""
    try:
        run([NFT, "-c", "-f", "-"], script)
    except Failed:
        return False
    return True


def tables() -> dict[str, dict[str, Any]]:
    """Our tables by fault id: their families and mark, packets and bytes counted, whether their lease is alive."""
    listed = json.loads(run([NFT, "-j", "list", "ruleset"])).get("nftables", [])
    found: dict[str, dict[str, Any]] = {}
    for item in listed:
        ((kind, entry),) = item.items()
        name = entry.get("name", "") if kind == "table" else entry.get("table", "")
        if not name.startswith(PREFIX):
            continue
        empty = {"families": [], "mark": "", "packets": 0, "bytes": 0, "alive": False}
        table = found.setdefault(name[len(PREFIX) :], empty)
        if kind == "table":
            table["families"].append(entry["family"])
            table["mark"] = entry.get("comment", "") or table["mark"]
        elif kind == "counter":
            table["packets"] += entry["packets"]
            table["bytes"] += entry["bytes"]
        elif kind == "set":
            table["alive"] = table["alive"] or bool(entry.get("elem"))
    return found


def delete(fault: str, families: Iterable[str]) -> None:
    """Delete a fault's tables in these families, whether they are there or not; looks afterwards. Raises Failed."""
    names = [f"{family} {PREFIX}{fault}" for family in families]
    nft("".join(f"table {name}\ndelete table {name}\n" for name in names))
    if fault in tables():
        raise Failed(f"table {PREFIX}{fault} is still there after it was deleted")


class Table:
    """One fault as one nft table, or one of each family: a script that makes it or changes it in place, and the sets
    whose elements expire.
    """

    def __init__(self, fault: str, whose: str, family: str = "inet") -> None:
        self.fault = fault
        self.whose = whose
        self.family = family
        self.name = f"{family} {PREFIX}{fault}"
        self.lines = [self._made(), f"add counter {self.name} hits"]
        self.leases: dict[str, tuple[str, ...]] = {}
        self._replaces = False
        self._others: list[Table] = []

    def beside(self, family: str) -> Table:
        """One of another family that is put, renewed and replaced in one transaction with this."""
        other = Table(self.fault, self.whose, family)
        if self._replaces:
            other = other.anew(0, 0)
        self._others.append(other)
        return other

    def alone(self) -> Table:
        """This, with none beside it."""
        self._others.clear()
        return self

    def anew(self, packets: int, size: int) -> Table:
        """One that takes the place of this in one transaction and goes on counting from there; as yet without chains.

        For what cannot be changed in place: the devices of a chain.
        """
        table = Table(self.fault, self.whose, self.family)
        counter = f"add counter {self.name} hits {{ packets {packets} bytes {size} }}"
        table.lines = [self._made(), f"delete table {self.name}", self._made(), counter]
        table._replaces = True
        return table

    def _made(self) -> str:
        return f'add table {self.name} {{ comment "{self.whose}" ; }}'

    def lease(self, name: str, ipv4: tuple[str, ...], ipv6: tuple[str, ...]) -> None:
        """A pair of sets, NAME4 and NAME6, that hold these for LEASE_S."""
        for family, kind, elements in (("4", "ipv4_addr", ipv4), ("6", "ipv6_addr", ipv6)):
            self.lines.append(f"add set {self.name} {name}{family} {{ type {kind}; flags interval,timeout; }}")
            self.leases[f"{name}{family}"] = elements

    def chain(self, chain: Chain) -> None:
        """A chain with these rules in place of those it had."""
        devices = ", ".join(f'"{device}"' for device in chain.devices)
        on = f" devices = {{ {devices} }}" if devices else ""
        hook = f"type filter hook {chain.hook}{on} priority {chain.priority}; policy accept;"
        self.lines.append(f"add chain {self.name} {chain.name} {{ {hook} }}")
        self.lines.append(f"flush chain {self.name} {chain.name}")
        self.lines += [f"add rule {self.name} {chain.name} {rule}" for rule in chain.rules]

    def renewal(self) -> str:
        """The lines that let every lease run anew; in one transaction no packet sees an empty set."""
        lines = []
        for name, elements in self.leases.items():
            lines.append(f"flush set {self.name} {name}")
            if elements:
                listed = ", ".join(f"{each} timeout {LEASE_S:.0f}s" for each in elements)
                lines.append(f"add element {self.name} {name} {{ {listed} }}")
        return "\n".join(lines) + "\n" + "".join(other.renewal() for other in self._others)

    def renew(self) -> None:
        """Let all leases run anew. Raises Failed, such as when somebody deleted the table."""
        nft(self.renewal())

    def put(self) -> None:
        """Make it, or change it in place with its counters kept; looks afterwards. Raises Failed."""
        made = [line for table in (self, *self._others) for line in table.lines]
        nft("\n".join(made) + "\n" + self.renewal())
        if not tables().get(self.fault, {}).get("alive"):
            raise Failed(f"table {PREFIX}{self.fault} is not there after it was made")
