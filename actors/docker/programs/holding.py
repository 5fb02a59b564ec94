"""How a program beside the cgroups is held open: it is asked in lines of JSON on its input, and answers on its output.

Knows nothing of what is asked. Standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from actors.docker.programs.limits import FAILED, OK

PATIENCE_S = 8.0
"""How long to wait for a sign of life of whoever feeds it."""

INPUT = 0
Ask = Callable[[int, list[str]], None]
"""Is given a number, under which the answer is due, and what is asked."""

Wait = Callable[[list[int]], set[int]]
"""A turn of the work: ends soon, with those of these descriptors that can be read."""


def serve(ask: Ask, wait: Wait) -> None:
    """Until the input ends, nobody gives a sign of life any more, or a signal comes."""
    awake_read, awake_write = os.pipe()
    os.set_blocking(awake_write, False)
    signal.set_wakeup_fd(awake_write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    say({"ready": True})
    rest = b""
    heard = time.monotonic()
    while True:
        readable = wait([INPUT, awake_read])
        if awake_read in readable:
            break
        if INPUT not in readable:
            if time.monotonic() - heard > PATIENCE_S:
                break
            continue
        chunk = os.read(INPUT, 65536)
        if not chunk:
            break
        heard = time.monotonic()
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "ask" in request:
                ask(request["id"], [str(word) for word in request["ask"]])


def answer(number: int, error: str, out: str = "") -> None:
    """What became of what was asked under this number; no error where it is done."""
    say({"id": number, "exit": FAILED if error else OK, "out": out, "error": error})


def news(event: str, container: str, text: str) -> None:
    """What nobody asked for."""
    say({"news": event, "container": container, "text": text})


def say(told: dict[str, Any]) -> None:
    """One line of output. Nobody may be there any more to hear it."""
    try:
        os.write(1, json.dumps(told).encode() + b"\n")
    except OSError:
        sys.stderr.write("nobody listens\n")
