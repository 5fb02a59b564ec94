"""Less bandwidth as whoever holds a namespace puts it: on, changed, composed, left behind, and gone without a trace."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.integration.held import Held, held, state
from tests.integration.namespaces import GENEROUS_S, PROGRAMS, Namespace, transfer

FAST = 200.0
MBIT = 1_000_000


def removed_by_another(namespace: Namespace, fault: str) -> None:
    """By a program that has never heard of it, as a recovery does."""
    namespace.run(sys.executable, "-I", "-S", str(PROGRAMS / "netns.py"), "remove", fault)


def test_on_in_both_directions_and_gone_without_a_trace(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """Slow while it is on, counted, and the kernel is as before once it is removed; the next one goes on alone."""
    target, peer = both
    before = state(target)
    first = holder.put("network_bandwidth", rate_bit=2 * MBIT, direction="out")
    second = holder.put("network_bandwidth", {"ports": [7001]}, rate_bit=4 * MBIT)
    assert transfer(target, peer, 2) < 3
    assert transfer(peer, target, 0.5) > FAST
    assert holder.remove(first)["packets"] > 0
    assert transfer(target, peer, 0.5) > FAST
    assert transfer(peer, target, 2, port=7001) < 6
    holder.remove(second)
    assert state(target) == before
    assert holder.remove(second)["was_there"] is False


def test_the_other_side_moves(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """Put once more with other addresses it is about those, with its class and its counter."""
    target, peer = both
    fault = holder.put("network_bandwidth", {"peers": ["192.0.2.9"]}, rate_bit=2 * MBIT)
    assert transfer(target, peer, 0.5) > FAST
    holder.put("network_bandwidth", {"peers": [peer.ipv4]}, fault, rate_bit=2 * MBIT)
    assert transfer(target, peer, 2) < 3
    assert holder.remove(fault)["packets"] > 0


def test_an_interface_that_comes_later_is_limited_too(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """Within the time between two renewals, and what was counted stays counted."""
    target, peer = both
    fault = holder.put("network_bandwidth", rate_bit=2 * MBIT)
    assert transfer(target, peer, 1) < 4
    counted = json.loads(holder.ask("look")["out"])[fault]["packets"]
    target.run("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8")
    try:
        until = time.monotonic() + GENEROUS_S
        while "eth7" not in target.run("nft", "list", "ruleset"):
            assert time.monotonic() < until
            holder.wait(0.5)
        assert json.loads(holder.ask("look")["out"])[fault]["packets"] >= counted > 0
        assert transfer(target, peer, 1) < 4
    finally:
        target.run("ip", "link", "del", "eth7")
    holder.remove(fault)


def test_left_behind_it_is_slow_for_a_lease_and_then_inert(both: tuple[Namespace, Namespace]) -> None:
    """Everything of ours killed: after the lease nothing is slow. What is left is ours by name, and another program
    takes it out without a trace.
    """
    target, peer = both
    before = state(target)
    with held(target) as holder:
        fault = holder.put("network_bandwidth", rate_bit=2 * MBIT)
        assert transfer(target, peer, 1) < 4
        holder.process.kill()
        holder.process.wait(GENEROUS_S)
        until = time.monotonic() + GENEROUS_S
        while min(transfer(target, peer, 0.3), transfer(peer, target, 0.3)) < FAST:
            assert time.monotonic() < until
        assert "tcifb0" in target.run("ip", "-o", "link")
        removed_by_another(target, fault)
        assert state(target) == before
        removed_by_another(target, fault)


def test_somebody_elses_queueing_discipline_stays(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """Byte for byte, with the fault on and after it."""
    target, peer = both
    theirs = "qdisc add dev eth0 root handle 1: tbf rate 50mbit burst 64kb latency 50ms"
    target.run("tc", *theirs.split())
    try:
        before = state(target)
        fault = holder.put("network_bandwidth", {"ports": [7001]}, rate_bit=5 * MBIT)
        assert "tbf 1: root" in target.run("tc", "qdisc", "show", "dev", "eth0")
        assert transfer(target, peer, 2, port=7001) < 8
        assert 20 < transfer(target, peer, 1, port=7002) < 70
        holder.remove(fault)
        assert state(target) == before
    finally:
        target.run("tc", "qdisc", "del", "dev", "eth0", "root")


def test_a_device_of_somebody_else_is_in_the_way(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """Refused with its name, and nothing of the fault is left."""
    target, _ = both
    target.run("ip", "link", "add", "tcifb1", "type", "ifb")
    target.run("ip", "link", "set", "tcifb1", "up")
    try:
        target.run("tc", *["qdisc", "add", "dev", "tcifb1", "root", "handle", "9:", "htb"])
        before = state(target)
        mark = f"fault={1:032x} execution={1:032x} instance=t expires={int(time.time()) + 600}"
        rules = '{"kind": "network_bandwidth", "params": {"rate_bit": 1000000}}'
        answer = holder.ask("put", mark, rules)
        assert (answer["exit"], answer["error"]) == (
            1, "tcifb1 is here already with a queueing discipline of somebody else: remove or rename it",
        )  # fmt: skip
        assert state(target) == before
    finally:
        target.run("ip", "link", "del", "tcifb1")


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ('{"rate_bit": -1}', "RULES: params.rate_bit: a number from 8000 to 1e+11 is due, not -1"),
        ("{}", "RULES: params.rate_bit: missing; a number from 8000 to 1e+11 is due"),
        ('{"rate_bit": 10000, "direction": "up"}', "RULES: params.direction: one of both, out, in is due, not 'up'"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(holder: Held, params: str, error: str) -> None:
    """With the field's name."""
    mark = f"fault={1:032x} execution={1:032x} instance=t expires={int(time.time()) + 600}"
    answer = holder.ask("put", mark, f'{{"kind": "network_bandwidth", "params": {params}}}')
    assert (answer["exit"], answer["error"]) == (1, error)


def test_limits_come_and_go_without_a_packet_lost(holder: Held, both: tuple[Namespace, Namespace]) -> None:
    """Echoes that another fault delays are all answered while limits on TCP are put, changed and removed."""
    target, peer = both
    delayed = holder.put("network_latency", latency_ms=30)
    argv = peer.argv("ping", "-n", "-q", "-c", "300", "-i", "0.005", "-W", "5", target.ipv4)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
        for rate in (1, 5, 50):
            fault = holder.put("network_bandwidth", {"protocol": "tcp"}, rate_bit=rate * MBIT)
            holder.put("network_bandwidth", {"protocol": "tcp"}, fault, rate_bit=2 * rate * MBIT)
            holder.remove(fault)
        out, _ = ping.communicate(timeout=GENEROUS_S)
    assert " 0% packet loss" in out
    holder.remove(delayed)
