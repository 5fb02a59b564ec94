"""The programs to which the kernel hands this network namespace's packets: one process of each for all faults that it
plays, started with the first of them and ended with the last. When it dies, packets pass as if nothing were; when it
does not answer, it is made to die.
"""

from __future__ import annotations

import functools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from actors.docker.programs import queue_rules
from actors.docker.programs.impairments import KINDS
from actors.docker.programs.nft_tables import PREFIX, Failed, Lacking, Table, accepts
from actors.docker.programs.traffic import Chain, Traffic, free_slot, traffic

FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # pathlib takes long to import
END_S = 5.0
START_S = 8.0
ANSWER_S = 4.0
"""How long one may take to answer: with the time between two renewals it is less than a lease."""


class Sort(NamedTuple):
    """What plays which kinds of faults, and how packets come to it."""

    name: str
    program: str
    kinds: tuple[str, ...]
    queue: int
    chains: Callable[[Traffic, int, bool], tuple[Chain, ...]]


EMULATOR = Sort(
    "the emulator",
    "emulator.py",
    KINDS,
    queue_rules.QUEUE,
    lambda match, slot, native: queue_rules.chains(match, slot, native=native),
)
ANSWERER = Sort(
    "the answerer",
    "answerer.py",
    ("dns_failure",),
    queue_rules.DNS_QUEUE,
    lambda _, slot, native: queue_rules.dns_chains(slot, native=native),
)

News = Callable[[str, tuple[str, ...], str], None]
"""Is told what became of which faults while nobody asked: `lost` or `remade`, and a text for a person."""


@functools.cache
def queues_natively() -> bool:
    """Whether nft can queue here. The question drops what waits in the namespace's queues: it is asked once."""
    return accepts(queue_rules.PROBE)


class Emulation:
    """The faults that it plays now."""

    def __init__(self, sort: Sort, news: News) -> None:
        self.sort = sort
        self._news = news
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._rules: dict[str, dict[str, Any]] = {}
        self._anew: set[str] = set()
        """The faults that it was started anew with: of what it did before nobody knows how much."""

    def put(self, table: Table, wanted: dict[str, Any]) -> None:
        """One more fault, or the same with others on the other side. Raises Failed, Malformed."""
        match = traffic(wanted.get("match"), "match")
        known = self._rules.get(table.fault)
        slot = known["slot"] if known else free_slot({each["slot"] for each in self._rules.values()})
        rule = {"fault": table.fault, "slot": slot, "params": wanted.get("params", {})}
        if len(self.sort.kinds) > 1:
            rule["kind"] = wanted["kind"]
        native = queues_natively()
        self._play({**self._rules, table.fault: rule})
        table.lease("from", match.ipv4, match.ipv6)
        for chain in self.sort.chains(match, slot, native):
            table.chain(chain)
        table.put()
        if not native:
            try:
                queue_rules.add_target(f"{PREFIX}{table.fault}", self.sort.queue)
            except OSError as error:
                raise Lacking(f"the kernel cannot queue packets (NFQUEUE): {error.strerror}") from None

    def forget(self, fault: str) -> dict[str, int]:
        """One fault less, once no packet comes here for it; what it did, in packets. Raises Failed."""
        if fault not in self._rules:
            return {}
        counted: dict[str, int] = {}
        if self._alive():
            try:
                counted = self._say({"counters": True}).get("counters", {}).get(fault, {})
            except Failed as error:
                self._news("lost", tuple(self._rules), str(error))
        if fault in self._anew:
            self._anew.discard(fault)
            counted = {"packets": counted.get("packets", 0)}
        rest = {each: rule for each, rule in self._rules.items() if each != fault}
        if rest:
            self._rules = rest
            self._play(rest)
        else:
            self.end()
        return counted

    @contextmanager
    def passing(self) -> Iterator[None]:
        """While a table is taken out everything passes: the kernel drops what waits when any chain goes."""
        passes = False
        if self._alive():
            try:
                self._say({"pass": True})
                passes = True
            except Failed as error:
                # It is dead by now, so everything passes anyhow; the next renewal starts it anew.
                self._news("lost", tuple(self._rules), str(error))
        try:
            yield
        finally:
            if passes and self._alive():
                self._say({"pass": False})

    def plays(self) -> tuple[str, ...]:
        """The faults that it plays."""
        return tuple(self._rules)

    def revive(self) -> None:
        """Start it anew with all its faults when it has died meanwhile, or does not answer. Raises Failed."""
        if not self._rules:
            return
        if self._alive():
            try:
                self._say({"counters": True})
                return
            except Failed as error:
                why = str(error)
        else:
            why = f"{self.sort.name} had ended: packets passed"
        self._news("lost", tuple(self._rules), why)
        self._play(self._rules)
        self._news("remade", tuple(self._rules), f"{self.sort.name} was started anew")

    def end(self) -> None:
        """Let go what waits."""
        process, self._process, self._rules = self._process, None, {}
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # ------------------------------------------------------------ the pipe

    def _alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _play(self, rules: dict[str, dict[str, Any]]) -> None:
        told = self._say({"rules": list(rules.values())})
        if "error" in told:
            raise Failed(str(told["error"]))
        self._rules = rules

    def _say(self, line: dict[str, Any]) -> dict[str, Any]:
        process = self._process if self._process is not None and self._alive() else self._started()
        return self._exchanged(process, json.dumps(line).encode() + b"\n")

    def _started(self) -> subprocess.Popen[bytes]:
        self._anew |= self._rules.keys()
        argv = [sys.executable, "-I", "-S", os.path.join(FOLDER, self.sort.program)]  # noqa: PTH118  # as FOLDER
        try:
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        except OSError as error:
            raise Failed(f"{self.sort.name} could not be started: {error.strerror}") from None
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        self._process, self._heard = process, b""
        self._exchanged(process, b"", START_S)
        return process

    def _exchanged(self, process: subprocess.Popen[bytes], said: bytes, within_s: float = ANSWER_S) -> dict[str, Any]:
        """What it answers. One that takes too long is killed: held packets of a live lease would be lost for others."""
        if process.stdin is None or process.stdout is None:
            raise Failed(f"{self.sort.name} has no pipes")
        until = time.monotonic() + within_s
        while said or b"\n" not in self._heard:
            reading = [] if said else [process.stdout]
            writing = [process.stdin] if said else []
            left = until - time.monotonic()
            ready = select.select(reading, writing, [], left) if left > 0 else ([], [], [])
            if not any(ready):
                process.kill()
                process.wait()
                raise Failed(f"{self.sort.name} did not answer within {within_s:g} s: it was killed, so packets pass")
            try:
                if said:
                    said = said[os.write(process.stdin.fileno(), said) :]
                    continue
                chunk = os.read(process.stdout.fileno(), 65536)
            except BrokenPipeError:
                chunk = b""
            if not chunk:
                process.wait(END_S)
                raise Failed(f"{self.sort.name} has ended: packets cannot be queued here")
            self._heard += chunk
        line, _, self._heard = self._heard.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told
