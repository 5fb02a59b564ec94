"""The emulator of this network namespace: one process for all faults that it plays, started with the first of them and
ended with the last. When it dies, packets pass as if nothing were.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from actors.docker.programs import queue_rules
from actors.docker.programs.impairments import KINDS
from actors.docker.programs.nft_tables import PREFIX, Failed, Table, accepts
from actors.docker.programs.traffic import free_slot, traffic

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "emulator.py")  # noqa: PTH100, PTH118, PTH120  # pathlib takes long to import
END_S = 5.0


class Emulation:
    """The faults that it plays now, and how packets come to it."""

    kinds = KINDS

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._rules: dict[str, dict[str, Any]] = {}
        self._native: bool | None = None

    def put(self, table: Table, wanted: dict[str, Any]) -> None:
        """One more fault, or the same with others on the other side. Raises Failed, Malformed."""
        match = traffic(wanted.get("match"), "match")
        known = self._rules.get(table.fault)
        slot = known["slot"] if known else free_slot({each["slot"] for each in self._rules.values()})
        rule = {"fault": table.fault, "slot": slot, "kind": wanted["kind"], "params": wanted.get("params", {})}
        self._play({**self._rules, table.fault: rule})
        table.lease("from", match.ipv4, match.ipv6)
        for chain in queue_rules.chains(match, slot, native=self._queues_natively()):
            table.chain(chain)
        table.put()
        if not self._native:
            try:
                queue_rules.add_target(f"{PREFIX}{table.fault}")
            except OSError as error:
                raise Failed(f"the kernel cannot queue packets (NFQUEUE): {error.strerror}") from None

    def forget(self, fault: str) -> dict[str, int]:
        """One fault less, once no packet comes here for it; what it did, in packets."""
        if fault not in self._rules:
            return {}
        counted: dict[str, int] = self._say({"counters": True}).get("counters", {}).get(fault, {})
        self._play({each: rule for each, rule in self._rules.items() if each != fault})
        if not self._rules:
            self.end()
        return counted

    @contextmanager
    def passing(self) -> Iterator[None]:
        """While a table is taken out everything passes: the kernel drops what waits when any chain goes."""
        if self._process is None or self._process.poll() is not None:
            yield
            return
        self._say({"pass": True})
        try:
            yield
        finally:
            self._say({"pass": False})

    def revive(self) -> None:
        """Start it anew with all its faults when something killed it meanwhile. Raises Failed."""
        if self._rules and (self._process is None or self._process.poll() is not None):
            self._play(self._rules)

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

    def _queues_natively(self) -> bool:
        if self._native is None:
            self._native = accepts(queue_rules.PROBE)
        return self._native

    def _play(self, rules: dict[str, dict[str, Any]]) -> None:
        told = self._say({"rules": list(rules.values())})
        if "error" in told:
            raise Failed(str(told["error"]))
        self._rules = rules

    def _say(self, line: dict[str, Any]) -> dict[str, Any]:
        process = self._process if self._process and self._process.poll() is None else self._started()
        if process.stdin is None or process.stdout is None:
            raise Failed("the emulator has no pipes")
        try:
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise Failed("the emulator has ended") from None
        return self._hear(process)

    def _started(self) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._hear(self._process)
        return self._process

    def _hear(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        line = process.stdout.readline() if process.stdout is not None else ""
        if not line:
            raise Failed("the emulator has ended: packets cannot be queued here")
        told: dict[str, Any] = json.loads(line)
        return told
