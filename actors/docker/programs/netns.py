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
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from actors.docker.programs import shaping
from actors.docker.programs.emulation import ANSWERER, EMULATOR, Emulation
from actors.docker.programs.fields import Malformed
from actors.docker.programs.firewall import Firewall
from actors.docker.programs.following import Follower
from actors.docker.programs.nft_tables import LEASE_S, Failed, Lacking, Table, delete, tables
from actors.docker.programs.shaping import Shaping

PATIENCE_S = 8.0
"""How long `hold` waits for a sign of life of whoever feeds it."""

HEX_ID = re.compile(r"[0-9a-f]{32}")
MARK = re.compile(r"fault=(\S+) execution=(\S+) instance=([A-Za-z0-9-]+) expires=(\d+)")
OK, FAILED, USAGE, LACKING = 0, 1, 2, 3


# ---------------------------------------------------------------- what may be asked


KINDS = (*Firewall.kinds, *EMULATOR.kinds, *ANSWERER.kinds, *Shaping.kinds)


class Namespace:
    """What was put by this process, and what may be asked of it."""

    def __init__(self, *, stays: bool = False) -> None:
        """Where nobody stays only what the kernel does by itself can be put: nobody would be there for the rest."""
        self.emulations = tuple(Emulation(sort, tell) for sort in (EMULATOR, ANSWERER)) if stays else ()
        self.keepers: tuple[Follower, ...] = (Firewall(), Shaping())
        """Of what the kernel does by itself."""
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
        """One fault, anew or changed in place. One that cannot be put whole is not put at all."""
        matched = MARK.fullmatch(mark)
        if matched is None:
            raise Failed("MARK: fault=ID execution=ID instance=NAME expires=SECONDS is due")
        fault = identity(matched[1])
        try:
            wanted = json.loads(text)
        except ValueError:
            wanted = None
        if not isinstance(wanted, dict) or wanted.get("kind") not in KINDS:
            raise Failed(f"RULES: an object with a kind is due, one of {', '.join(KINDS)}")
        # All that fits into the 128 characters of a comment; the fault is the table's name.
        whose = f"exec={matched[2].replace('-', '')} of={matched[3]} until={matched[4]}"
        table = Table(fault, whose, Shaping.family if wanted["kind"] in Shaping.kinds else Firewall.family)
        try:
            self._make(table, wanted)
        except (Failed, Malformed) as error:
            if fault not in self.held:
                with suppress(Failed):
                    self._take_out(fault)
            if isinstance(error, Malformed):
                raise Failed(f"RULES: {error}") from None
            raise
        self.held[fault] = table
        # The wall clock is for deadlines of others alone: from here on time is counted.
        self.deadlines[fault] = time.monotonic() + max(0.0, int(matched[4]) - time.time())
        return json.dumps({"put": fault})

    def _make(self, table: Table, wanted: dict[str, Any]) -> None:
        """By whoever plays its kind. Raises Failed, Malformed."""
        kind = wanted["kind"]
        keeper = next((each for each in self.keepers if kind in each.kinds), None)
        if keeper is not None:
            if table.fault in keeper.outdated():
                with self.passing():
                    keeper.remake(table.fault)
            keeper.put(table, wanted)
            return
        emulation = next((each for each in self.emulations if kind in each.sort.kinds), None)
        if emulation is None:
            raise Failed(f"{kind} needs somebody who stays: `hold`")
        emulation.put(table, wanted)

    def remove(self, text: str) -> str:
        """Take one out and tell what it met."""
        fault = identity(text)
        self.held.pop(fault, None)
        self.deadlines.pop(fault, None)
        there, did = self._take_out(fault)
        # One that was started anew meanwhile has not seen all of them.
        packets = max(there["packets"] if there else 0, did.get("packets", 0))
        return json.dumps({"removed": fault, "was_there": there is not None, **did, "packets": packets})

    def _take_out(self, fault: str) -> tuple[dict[str, Any] | None, dict[str, int]]:
        """The table as it was found, and what was done to packets. Raises Failed."""
        for keeper in self.keepers:
            keeper.forget(fault)
        there = tables().get(fault)
        if there is not None:
            with self.passing():
                delete(fault, there["families"])
        did: dict[str, int] = {}
        for emulation in self.emulations:
            did |= emulation.forget(fault)
        shaping.settle()
        return there, did

    @contextmanager
    def passing(self) -> Iterator[None]:
        """While a chain is taken out nothing waits in any queue."""
        with ExitStack() as stack:
            for emulation in self.emulations:
                stack.enter_context(emulation.passing())
            yield

    def renew(self) -> None:
        """Let all leases run anew. A table that somebody else deleted is not made again."""
        played = {fault for emulation in self.emulations for fault in emulation.plays()}
        # First those that need nobody: a program that does not answer may take as long as their lease.
        self._renew(self.held.keys() - played)
        for emulation in self.emulations:
            try:
                emulation.revive()
            except Failed as error:
                sys.stderr.write(f"{error}\n")
            self._renew(self.held.keys() & set(emulation.plays()))
        for keeper in self.keepers:
            self._follow(keeper)
        for fault, deadline in list(self.deadlines.items()):
            if time.monotonic() > deadline:
                self._over(fault)

    def _renew(self, faults: Iterable[str]) -> None:
        for fault in sorted(faults):
            try:
                self.held[fault].renew()
            except Failed as error:
                sys.stderr.write(f"{fault}: not renewed: {error}\n")

    def _over(self, fault: str) -> None:
        """Its time is past. What cannot be taken out is not renewed any more, and so does nothing."""
        try:
            self.remove(fault)
        except Failed as error:
            sys.stderr.write(f"{fault}: not taken out: {error}\n")

    def _follow(self, keeper: Follower) -> None:
        """The interfaces that are here by now."""
        for fault in keeper.outdated():
            try:
                with self.passing():
                    made = keeper.remake(fault)
                if made is not None:
                    self.held[fault] = made
            except (Failed, Malformed) as error:
                sys.stderr.write(f"{fault}: does not follow the interfaces: {error}\n")

    def remove_all(self) -> int:
        """Take out everything that was put here; 0 when all is gone."""
        status = OK
        for fault in list(self.held):
            try:
                self.remove(fault)
            except Failed as error:
                sys.stderr.write(f"{fault}: {error}\n")
                status = FAILED
        for emulation in self.emulations:
            emulation.end()
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
        told |= {"exit": status_of(error), "error": str(error)}
    return told


def status_of(error: Failed) -> int:
    """By which whoever asked tells that the machine lacks something from all other failures."""
    return LACKING if isinstance(error, Lacking) else FAILED


def hold() -> int:
    """Serve standard input until it ends, nobody gives a sign of life any more, or a signal comes."""
    namespace = Namespace(stays=True)
    awake_read, awake_write = os.pipe()
    os.set_blocking(awake_write, False)
    signal.set_wakeup_fd(awake_write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    with suppress(Failed):
        # Whatever is loaded with the first look is not waited for when a fault is due.
        tables()
    say({"ready": True})
    rest = b""
    heard = renewed = time.monotonic()
    while True:
        now = time.monotonic()
        if now - renewed >= LEASE_S / 3:
            namespace.renew()
            renewed = now
        until = min(heard + PATIENCE_S, renewed + LEASE_S / 3)
        readable, _, _ = select.select([0, awake_read], [], [], max(0.0, until - time.monotonic()) + 0.001)
        if awake_read in readable:
            break
        if 0 not in readable:
            # Asked only when nothing is there to be heard: a renewal may have taken its time.
            if time.monotonic() - heard > PATIENCE_S:
                break
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


def tell(event: str, faults: tuple[str, ...], text: str) -> None:
    """What nobody asked for: some faults were lost, or are on again."""
    say({"news": event, "faults": list(faults), "text": text})


def say(told: dict[str, Any]) -> None:
    """One line of output. Nobody may be there any more to hear it."""
    try:
        os.write(1, json.dumps(told).encode() + b"\n")
    except OSError:
        sys.stderr.write("nobody listens\n")


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage, 3 where the machine lacks what it takes."""
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
        return status_of(error)
    return OK


if __name__ == "__main__":
    sys.exit(main())
