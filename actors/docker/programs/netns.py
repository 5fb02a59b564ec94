"""Puts faults into the network namespace it runs in, keeps their leases alive, and takes them out again.

    netns.py put MARK RULES      one fault; RULES is JSON, MARK is `fault=ID execution=ID instance=NAME expires=SECONDS`
    netns.py remove FAULT        it is gone when this ends with 0, whether it was there or not
    netns.py look                what of ours is here, as JSON
    netns.py hold                the same, asked for in lines of JSON; at the end of its input everything is taken out

What is put ends by itself 10 s after the last renewal, whoever has died: the rules match only while the kernel keeps
the elements of their sets. Knows no engine and no container. Standard library only, and little of that: it starts fast.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import json
import re
import select
import signal
import time
from contextlib import nullcontext
from typing import Any

from actors.docker.programs.emulation import Emulation
from actors.docker.programs.fields import Malformed
from actors.docker.programs.nft_tables import LEASE_S, Failed, Table, delete, tables
from actors.docker.programs.traffic import Chain, traffic

PATIENCE_S = 8.0
"""How long `hold` waits for a sign of life of whoever feeds it."""

HEX_ID = re.compile(r"[0-9a-f]{32}")
MARK = re.compile(r"fault=(\S+) execution=(\S+) instance=([A-Za-z0-9-]+) expires=(\d+)")
DROP = "drop"
RAW = -300
"""Before the kernel has looked at the packet in any other way, connection tracking included."""

OK, FAILED, USAGE = 0, 1, 2


def drop(table: Table, wanted: dict[str, Any]) -> None:
    """Packets from the other side are dropped where they arrive: whoever sent them learns nothing. Raises Malformed."""
    match = traffic(wanted.get("match"), "match")
    table.lease("from", match.ipv4, match.ipv6)
    rules = tuple(f"{each} counter name hits drop" for each in match.matches())
    table.chain(Chain("arriving", "prerouting", RAW, rules))
    table.put()


# ---------------------------------------------------------------- what may be asked


class Namespace:
    """What was put by this process, and what may be asked of it."""

    def __init__(self, emulation: Emulation | None = None) -> None:
        """Without an emulation only what the kernel does by itself can be put: nobody would be there for the rest."""
        self.emulation = emulation
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
            wanted = json.loads(text)
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict) or wanted.get("kind") not in {DROP, *Emulation.kinds}:
            raise Failed(f"RULES: an object with a kind is due, one of {', '.join((DROP, *Emulation.kinds))}")
        # All that fits into the 128 characters of a comment; the fault is the table's name.
        table = Table(fault, f"exec={matched[2].replace('-', '')} of={matched[3]} until={matched[4]}")
        try:
            if wanted["kind"] == DROP:
                drop(table, wanted)
            elif self.emulation is None:
                raise Failed(f"{wanted['kind']} needs somebody who stays: `hold`")
            else:
                self.emulation.put(table, wanted)
        except Malformed as error:
            raise Failed(f"RULES: {error}") from None
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
            with self.emulation.passing() if self.emulation is not None else nullcontext():
                delete(fault)
        packets = there["packets"] if there else 0
        did = self.emulation.forget(fault) if self.emulation is not None else {}
        return json.dumps({"removed": fault, "was_there": there is not None, "packets": packets, **did})

    def renew(self) -> None:
        """Let all leases run anew. A table that somebody else deleted is not made again."""
        if self.emulation is not None:
            try:
                self.emulation.revive()
            except Failed as error:
                sys.stderr.write(f"{error}\n")
        for fault, table in list(self.held.items()):
            try:
                table.renew()
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
        if self.emulation is not None:
            self.emulation.end()
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
    namespace = Namespace(Emulation())
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
