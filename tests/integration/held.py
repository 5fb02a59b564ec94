"""What keeps the faults of a network namespace (`netns.py hold`), asked as the coordinator asks it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.integration.namespaces import PROGRAMS, Namespace, fed


class Held:
    """A namespace that is held, and the faults in it."""

    def __init__(self, namespace: Namespace, process: subprocess.Popen[str]) -> None:
        self.namespace = namespace
        self.process = process
        self.news: list[dict[str, Any]] = []
        """What was told unasked."""
        self._asked = 0
        self._rest = b""
        """What was read behind the last line: `select` does not know of it."""
        assert self._hear() == {"ready": True}

    def put(self, kind: str, match: dict[str, Any] | None = None, fault: str = "", **params: object) -> str:
        """One fault, by its id."""
        fault = fault or uuid4().hex
        mark = f"fault={fault} execution={fault} instance=t expires={int(time.time()) + 600}"
        rules = {"kind": kind, "match": match or {}, "params": params}
        answer = self.ask("put", mark, json.dumps(rules))
        assert answer["exit"] == 0, answer["error"]
        return fault

    def remove(self, fault: str) -> dict[str, Any]:
        """What it met."""
        answer = self.ask("remove", fault)
        assert answer["exit"] == 0, answer["error"]
        return dict(json.loads(answer["out"]))

    def ask(self, *words: str) -> dict[str, Any]:
        """One line to it, and its answer."""
        assert self.process.stdin is not None
        self._asked += 1
        self.process.stdin.write(json.dumps({"id": self._asked, "ask": words}) + "\n")
        while "news" in (told := self._hear()):
            self.news.append(told)
        assert told["id"] == self._asked
        return told

    def wait(self, seconds: float) -> None:
        """Feed it so long, and hear what it tells meanwhile."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.process.stdin.write("{}\n")
            if b"\n" in self._rest or select.select([self.process.stdout], [], [], min(left, 1.0))[0]:
                self.news.append(self._hear())

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            assert more, self.process.stderr.read() if self.process.stderr else ""
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return dict(json.loads(line))


@contextmanager
def held(namespace: Namespace) -> Iterator[Held]:
    """It runs, and takes everything out at the end."""
    process = namespace.start(sys.executable, "-I", "-S", str(PROGRAMS / "netns.py"), "hold")
    with fed(process):
        yield Held(namespace, process)


def state(namespace: Namespace) -> tuple[str, ...]:
    """Everything in the kernel that a fault of ours could have changed."""
    looks = (
        ("nft", "--stateless", "list", "ruleset"), ("tc", "qdisc", "show"), ("ip", "-o", "link", "show"),
        ("ip", "rule", "show"),
    )  # fmt: skip
    return tuple(namespace.run(*argv) for argv in looks)


def programs_in(namespace: Namespace, name: str) -> list[int]:
    """Ids of the processes of one of our programs in there."""
    listed = subprocess.run(["pgrep", "-f", name], check=False, capture_output=True, text=True).stdout.split()
    inside = namespace.run("ip", "netns", "pids", namespace.name).split()
    return [int(pid) for pid in listed if pid in inside]
