"""Serves a packet queue and standard input at once: packets when they come, lines of JSON when somebody asks.

{"rules": [...]} replaces all rules; {"counters": true} asks what happened so far; {"pass": true} lets everything pass,
what waits included, until {"pass": false}: the kernel drops what waits in every queue of a namespace when a chain is
taken out of it, so that whoever deletes a table asks for this before and ends it after. Each is answered with one line.
Decides nothing about packets.
"""

from __future__ import annotations

import gc
import json
import os
import select
import sys
from collections.abc import Callable
from typing import Protocol

from actors.docker.programs.fields import Malformed
from actors.docker.programs.packet_queue import PacketQueue, QueueTaken

OK, FAILED, USAGE = 0, 1, 2
LONGEST_LINE = 1 << 20
INPUT = 0
OUTPUT = 1


class Player(Protocol):
    """What decides about packets."""

    def replace(self, rules: list[object]) -> None:
        """Take these rules in place of those it has. Raises Malformed, and then nothing has changed."""

    def counters(self) -> dict[str, object]:
        """What happened so far, by the id of the fault."""

    def take(self) -> None:
        """Read what has arrived."""

    def release(self) -> float | None:
        """Let go what is due; the seconds until the next is, None when nothing waits."""

    def let_go(self) -> None:
        """Let everything go that waits."""


def run(number: int, make: Callable[[PacketQueue], Player]) -> int:
    """Serve this queue until standard input ends: 0, or 1 where the queue cannot be had."""
    try:
        queue = PacketQueue(number)
    except QueueTaken as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except OSError as error:
        sys.stderr.write(
            f"no packet queue here: {error.strerror}; NFQUEUE in the kernel and CAP_NET_ADMIN are needed\n"
        )
        return FAILED
    # Nothing here refers to itself, so there is nothing to collect, and a collection would come between two packets.
    gc.disable()
    say({"ready": True, "queue": number})
    serve(make(queue), queue)
    return OK


def serve(player: Player, queue: PacketQueue) -> None:
    """Until standard input ends."""
    rest = b""
    while True:
        readable, _, _ = select.select([queue.fileno(), INPUT], [], [], player.release())
        if queue.fileno() in readable:
            player.take()
        if INPUT not in readable:
            continue
        chunk = os.read(INPUT, 65536)
        if not chunk:
            queue.take(wanted=False)
            let_go(player, queue)
            queue.close()
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            try:
                say(answer(player, queue, line))
            except Malformed as error:
                say({"error": str(error)})
        if len(rest) > LONGEST_LINE:
            rest = b""
            say({"error": f"a line of at most {LONGEST_LINE} bytes is due"})


def answer(player: Player, queue: PacketQueue, line: bytes) -> dict[str, object]:
    """What one line of input comes to. Raises Malformed."""
    try:
        request = json.loads(line)
    except ValueError:
        raise Malformed("a line of JSON is due") from None
    if isinstance(request, dict) and set(request) == {"rules"} and isinstance(request["rules"], list):
        player.replace(request["rules"])
        return {"rules": len(request["rules"])}
    if request == {"counters": True}:
        return player.counters()
    if isinstance(request, dict) and request.keys() == {"pass"} and isinstance(request["pass"], bool):
        return passing(player, queue, wanted=request["pass"])
    raise Malformed('{"rules": [...]}, {"counters": true} or {"pass": true} is due')


def passing(player: Player, queue: PacketQueue, *, wanted: bool) -> dict[str, object]:
    """Let everything pass, or no more."""
    queue.take(wanted=not wanted)
    if wanted:
        let_go(player, queue)
    return {"pass": wanted}


def let_go(player: Player, queue: PacketQueue) -> None:
    """Everything that has arrived and everything that waits."""
    while queue.pending():
        player.take()
    player.let_go()


def say(told: dict[str, object]) -> None:
    """One line of output. When nobody reads it any more, the end of the input is near."""
    try:
        os.write(OUTPUT, json.dumps(told).encode() + b"\n")
    except BrokenPipeError:
        sys.stderr.write("nobody reads the answers\n")
