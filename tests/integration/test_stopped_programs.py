"""A program that plays faults and neither answers nor ends may not hold packets for as long as its lease goes on."""

from __future__ import annotations

import os
import signal
import sys
import time

from tests.integration.held import Held, programs_in, state
from tests.integration.namespaces import GENEROUS_S, PROGRAMS, Namespace


def test_a_stopped_emulator_is_replaced(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """Under SIGSTOP nothing passes; it is killed within the time between two renewals and started anew with its fault,
    both of which is told.
    """
    target, peer = both
    fault = holder.put("network_latency", latency_ms=40)
    assert peer.pings(target.ipv4, 3).median_ms >= 40
    (first,) = programs_in(target, "emulator.py")
    os.kill(first, signal.SIGSTOP)
    assert peer.pings(target.ipv4, 1).lost_percent == 100
    until = time.monotonic() + GENEROUS_S
    while len(holder.news) < 2:
        assert time.monotonic() < until
        holder.wait(0.5)
    lost, remade = holder.news
    assert (lost["news"], lost["faults"]) == ("lost", [fault])
    assert lost["text"] == "the emulator did not answer within 4 s: it was killed, so packets pass"
    assert (remade["news"], remade["faults"], remade["text"]) == ("remade", [fault], "the emulator was started anew")
    (second,) = programs_in(target, "emulator.py")
    assert second != first
    again = peer.pings(target.ipv4, 5)
    assert (again.lost_percent, again.median_ms >= 40) == (0, True)
    holder.remove(fault)


def test_a_fault_is_taken_out_of_a_stopped_emulator(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """The undo does not fail, whoever hangs: everything passes, and the other fault goes on."""
    target, peer = both
    slow = holder.put("network_latency", latency_ms=40)
    lossy = holder.put("network_loss", percent=100)
    (emulator,) = programs_in(target, "emulator.py")
    os.kill(emulator, signal.SIGSTOP)
    holder.remove(lossy)
    found = peer.pings(target.ipv4, 5)
    assert (found.lost_percent, found.median_ms >= 40) == (0, True)
    assert holder.news[0]["news"] == "lost"
    holder.remove(slow)
    assert peer.pings(target.ipv4, 3).median_ms < 40


def test_a_stopped_answerer_is_replaced(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """As the emulator; whoever asks for names gets answers meanwhile only after it is killed."""
    target, _ = both
    fault = holder.put("dns_failure", names=["*"], mode="nxdomain")
    (first,) = programs_in(target, "answerer.py")
    os.kill(first, signal.SIGSTOP)
    until = time.monotonic() + GENEROUS_S
    while [each["news"] for each in holder.news] != ["lost", "remade"]:
        assert time.monotonic() < until
        holder.wait(0.5)
    assert programs_in(target, "answerer.py") != [first]
    holder.remove(fault)
    assert programs_in(target, "answerer.py") == []


def test_one_that_cannot_start_puts_nothing(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """Where another program has the queue the fault is refused, and no rule is left that would hand it packets."""
    target, _ = both
    before = state(target)
    program = str(PROGRAMS / "emulator.py")
    with target.start(sys.executable, "-I", "-S", program) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        mark = f"fault={1:032x} execution={1:032x} instance=t expires={int(time.time()) + 600}"
        answer = holder.ask("put", mark, '{"kind": "network_latency", "params": {"latency_ms": 5}}')
        assert (answer["exit"], answer["error"]) == (1, "the emulator has ended: packets cannot be queued here")
        assert state(target) == before
        other.communicate(timeout=GENEROUS_S)
