"""Puts faults into the network namespace it runs in, keeps their leases alive, and takes them out again.

    netns.py put MARK RULES      one fault; RULES is JSON, MARK is `fault=ID execution=ID instance=NAME expires=SECONDS`
    netns.py remove FAULT        it is gone when this ends with 0, whether it was there or not
    netns.py look                what of ours is here, as JSON
    netns.py hold                the same, asked for in lines of JSON; at the end of its input everything is taken out

What is put ends by itself LEASE_S after the last renewal, whoever has died: the rules match only while the kernel keeps
the elements of their sets. Knows no engine and no container. Standard library only, and little of that: it starts fast.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from typing import Any

LEASE_S = 10.0
PATIENCE_S = 8.0
"""How long `hold` waits for a sign of life of whoever feeds it."""

COMMAND_S = 10
NFT = "nft"
PREFIX = "tc_"
FAMILIES = ("inet", "netdev")
HEX_ID = re.compile(r"[0-9a-f]{32}")
MARK = re.compile(r"fault=(\S+) execution=(\S+) instance=([A-Za-z0-9-]+) expires=(\d+)")
ANYWHERE = ("0.0.0.0/0", "::/0")
RAW = -300
"""Before the kernel has looked at the packet in any other way, connection tracking included."""

OK, FAILED, USAGE = 0, 1, 2


class Failed(Exception):
    """It could not be done; the text says why, for a person."""


# ---------------------------------------------------------------- the kernel


def nft(script: str) -> None:
    """Run one transaction: all of it takes effect at once, or nothing. Raises Failed."""
    run([NFT, "-f", "-"], script)


def run(argv: list[str], text: str = "") -> str:
    """A program's output. Raises Failed."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_S)
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not installed here") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{argv[0]} did not end within {COMMAND_S} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Failed(f"{argv[0]}: " + (lines[0] if lines else f"status {done.returncode}"))
    return done.stdout


def tables() -> dict[str, dict[str, Any]]:
    """Our tables by fault id: their family, mark, packets and bytes counted, and whether their lease is alive."""
    listed = json.loads(run([NFT, "-j", "list", "ruleset"])).get("nftables", [])
    found: dict[str, dict[str, Any]] = {}
    for item in listed:
        ((kind, entry),) = item.items()
        name = entry.get("name", "") if kind == "table" else entry.get("table", "")
        if not name.startswith(PREFIX):
            continue
        table = found.setdefault(
            name[len(PREFIX) :], {"families": [], "mark": "", "packets": 0, "bytes": 0, "alive": False}
        )
        if kind == "table":
            table["families"].append(entry["family"])
            table["mark"] = entry.get("comment", "") or table["mark"]
        elif kind == "counter":
            table["packets"] += entry["packets"]
            table["bytes"] += entry["bytes"]
        elif kind == "set":
            table["alive"] = table["alive"] or bool(entry.get("elem"))
    return found


def delete(fault: str) -> None:
    """Delete a fault's tables, whether they are there or not; looks afterwards. Raises Failed."""
    for family in FAMILIES:
        table = f"{family} {PREFIX}{fault}"
        nft(f"table {table}\ndelete table {table}\n")
    if fault in tables():
        raise Failed(f"table {PREFIX}{fault} is still there after it was deleted")


# ---------------------------------------------------------------- kinds of rules


def networks(given: object, what: str) -> dict[str, list[str]]:
    """Addresses and networks by family, `4` and `6`. Raises Failed for what is none."""
    if not isinstance(given, list):
        raise Failed(f"{what}: a list of addresses is due, not {given!r}")
    found: dict[str, list[str]] = {"4": [], "6": []}
    for text in given:
        try:
            network = ipaddress.ip_network(str(text), strict=False)
        except ValueError:
            raise Failed(f"{what}: {text!r} is neither an address nor a network") from None
        found[str(network.version)].append(str(network))
    return found


class Table:
    """One fault as one nft table: a script that makes it or changes it in place, and the sets whose elements expire."""

    def __init__(self, fault: str, whose: str) -> None:
        self.fault = fault
        self.name = f"inet {PREFIX}{fault}"
        self.lines = [f'add table {self.name} {{ comment "{whose}" ; }}', f"add counter {self.name} hits"]
        self.leases: dict[str, list[str]] = {}

    def lease(self, name: str, elements: dict[str, list[str]]) -> None:
        """A pair of sets, NAME4 and NAME6, that hold these for LEASE_S."""
        for family, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
            self.lines.append(f"add set {self.name} {name}{family} {{ type {kind}; flags interval,timeout; }}")
            self.leases[f"{name}{family}"] = elements[family]

    def chain(self, name: str, hook: str, priority: int, rules: list[str]) -> None:
        """A chain with these rules in place of those it had."""
        self.lines.append(
            f"add chain {self.name} {name} {{ type filter hook {hook} priority {priority}; policy accept; }}"
        )
        self.lines.append(f"flush chain {self.name} {name}")
        self.lines += [f"add rule {self.name} {name} {rule}" for rule in rules]

    def renewal(self) -> list[str]:
        """The lines that let every lease run anew; in one transaction no packet sees an empty set."""
        lines = []
        for name, elements in self.leases.items():
            lines.append(f"flush set {self.name} {name}")
            if elements:
                listed = ", ".join(f"{each} timeout {LEASE_S:.0f}s" for each in elements)
                lines.append(f"add element {self.name} {name} {{ {listed} }}")
        return lines

    def put(self) -> None:
        """Make it, or change it in place with its counters kept; looks afterwards. Raises Failed."""
        nft("\n".join([*self.lines, *self.renewal()]) + "\n")
        if not tables().get(self.fault, {}).get("alive"):
            raise Failed(f"table {PREFIX}{self.fault} is not there after it was made")


def drop(table: Table, rules: dict[str, Any]) -> None:
    """Packets from these addresses are dropped where they arrive: whoever sent them learns nothing."""
    table.lease("from", networks(rules.get("from"), "from"))
    table.chain(
        "arriving",
        "prerouting",
        RAW,
        ["ip saddr @from4 counter name hits drop", "ip6 saddr @from6 counter name hits drop"],
    )


KINDS = {"drop": drop}


# ---------------------------------------------------------------- what may be asked


class Namespace:
    """What was put by this process, and what may be asked of it."""

    def __init__(self) -> None:
        self.held: dict[str, Table] = {}
        self.deadlines: dict[str, float] = {}

    def ask(self, argv: list[str]) -> str:
        """Do it and answer with a line of JSON. Raises Failed."""
        match argv:
            case ["put", mark, rules]:
                return self.put(mark, rules)
            case ["remove", fault]:
                return self.remove(fault)
            case ["look"]:
                return json.dumps(tables())
            case _:
                raise Failed("put MARK RULES, remove FAULT or look is due")

    def put(self, mark: str, text: str) -> str:
        """One fault, anew or changed in place."""
        matched = MARK.fullmatch(mark)
        if matched is None:
            raise Failed("MARK: fault=ID execution=ID instance=NAME expires=SECONDS is due")
        fault = identity(matched[1])
        try:
            rules = json.loads(text)
        except ValueError:
            rules = None
        if not isinstance(rules, dict) or rules.get("kind") not in KINDS:
            raise Failed(f"RULES: an object with a kind is due, one of {', '.join(KINDS)}")
        # All that fits into the 128 characters of a comment; the fault is the table's name.
        table = Table(fault, f"exec={matched[2].replace('-', '')} of={matched[3]} until={matched[4]}")
        KINDS[rules["kind"]](table, rules)
        table.put()
        self.held[fault] = table
        # The wall clock is for deadlines of others alone: from here on time is counted.
        self.deadlines[fault] = time.monotonic() + max(0.0, int(matched[4]) - time.time())
        return json.dumps({"put": fault})

    def remove(self, text: str) -> str:
        """Take one out and tell what it met."""
        fault = identity(text)
        self.held.pop(fault, None)
        self.deadlines.pop(fault, None)
        there = tables().get(fault)
        if there is not None:
            delete(fault)
        packets = there["packets"] if there else 0
        return json.dumps({"removed": fault, "was_there": there is not None, "packets": packets})

    def renew(self) -> None:
        """Let all leases run anew. A table that somebody else deleted is not made again."""
        for fault, table in list(self.held.items()):
            try:
                nft("\n".join(table.renewal()) + "\n")
            except Failed as error:
                sys.stderr.write(f"{fault}: not renewed: {error}\n")
        for fault, deadline in list(self.deadlines.items()):
            if time.monotonic() > deadline:
                self.remove(fault)

    def remove_all(self) -> int:
        """Take out everything that was put here; 0 when all is gone."""
        status = OK
        for fault in list(self.held):
            try:
                self.remove(fault)
            except Failed as error:
                sys.stderr.write(f"{fault}: {error}\n")
                status = FAILED
        return status


def identity(text: str) -> str:
    """A fault's id as it stands in the names of its tables. Raises Failed."""
    plain = text.replace("-", "")
    if HEX_ID.fullmatch(plain) is None:
        raise Failed(f"FAULT: an id of 32 hexadecimal digits is due, not {text!r}")
    return plain


# ---------------------------------------------------------------- hold


def answer(namespace: Namespace, line: bytes) -> dict[str, Any] | None:
    """What one line of input comes to; None for a sign of life."""
    request = json.loads(line)
    if "ask" not in request:
        return None
    told: dict[str, Any] = {"id": request["id"], "exit": OK, "out": "", "error": ""}
    try:
        told["out"] = namespace.ask([str(word) for word in request["ask"]])
    except Failed as error:
        told |= {"exit": FAILED, "error": str(error)}
    return told


def hold() -> int:
    """Serve standard input until it ends, nobody gives a sign of life any more, or a signal comes."""
    namespace = Namespace()
    awake_read, awake_write = os.pipe()
    os.set_blocking(awake_write, False)
    signal.set_wakeup_fd(awake_write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    say({"ready": True})
    rest = b""
    heard = renewed = time.monotonic()
    while True:
        now = time.monotonic()
        if now - heard > PATIENCE_S:
            break
        if now - renewed >= LEASE_S / 3:
            namespace.renew()
            renewed = now
        until = min(heard + PATIENCE_S, renewed + LEASE_S / 3)
        readable, _, _ = select.select([0, awake_read], [], [], max(0.0, until - time.monotonic()) + 0.001)
        if awake_read in readable:
            break
        if 0 not in readable:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        heard = time.monotonic()
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            told = answer(namespace, line)
            if told is not None:
                say(told)
    return namespace.remove_all()


def say(told: dict[str, Any]) -> None:
    """One line of output. Nobody may be there any more to hear it."""
    try:
        os.write(1, json.dumps(told).encode() + b"\n")
    except OSError:
        sys.stderr.write("nobody listens\n")


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    argv = sys.argv[1:]
    if argv == ["hold"]:
        return hold()
    if not argv or argv[0] not in {"put", "remove", "look"}:
        sys.stderr.write("usage: netns.py put MARK RULES | remove FAULT | look | hold\n")
        return USAGE
    try:
        print(Namespace().ask(argv))  # noqa: T201  # what was asked for
    except Failed as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return OK


if __name__ == "__main__":
    sys.exit(main())
