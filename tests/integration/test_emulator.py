"""The network emulator in a real namespace, measured from the other side by ping and TCP, before, during and after."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from actors.docker.programs import queue_rules
from tests.integration.namespaces import GENEROUS_S, PROGRAMS, Emulated, Namespace, emulated, transfer

ALLOWED_MS = 1.0
ALLOWED_SHARE = 0.02
LATE_MS = 9.0
"""Above what an untouched link takes even beside a busy machine, and below every delay asked for here."""


@pytest.fixture
def target(both: tuple[Namespace, Namespace]) -> Namespace:
    """Where faults are."""
    return both[0]


@pytest.fixture
def peer(both: tuple[Namespace, Namespace]) -> Namespace:
    """Where it is measured."""
    return both[1]


@pytest.fixture
def emulator(target: Namespace) -> Iterator[Emulated]:
    """One that runs in the target's namespace; nothing of it is left there."""
    with emulated(target) as running:
        yield running
        for each in list(running.rules):
            running.remove(each["fault"])
    assert target.run("nft", "list", "ruleset") == ""


def added_ms(peer: Namespace, address: str, asked_ms: float) -> float:
    """What an echo of the faster half takes; measured again where others had the processors all the while."""
    found = 0.0
    for _ in range(20):
        times = peer.pings(address, 20, every_s=0.02).times
        found = times[len(times) // 4]
        if abs(found - asked_ms) <= ALLOWED_MS + ALLOWED_SHARE * asked_ms:
            break
    return found


@pytest.mark.parametrize("asked_ms", [10, 50, 200])
def test_latency_is_what_was_asked_for(emulator: Emulated, target: Namespace, peer: Namespace, asked_ms: int) -> None:
    """Within 1 ms and 2 %, with IPv4 and IPv6 alike; none before and none after."""
    for address in (target.ipv4, target.ipv6):
        assert peer.pings(address, 5).median_ms < LATE_MS
        fault = emulator.put("network_latency", {"latency_ms": asked_ms})
        assert added_ms(peer, address, asked_ms) == pytest.approx(asked_ms, rel=ALLOWED_SHARE, abs=ALLOWED_MS)
        emulator.remove(fault)
        assert peer.pings(address, 5).median_ms < LATE_MS


def test_jitter_spreads(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """Normally distributed around 40 ms with a deviation of 10: the quartiles are 13.5 ms apart."""
    emulator.put("network_latency", {"latency_ms": 40, "jitter_ms": 10, "distribution": "normal"})
    times = peer.pings(target.ipv4, 400, every_s=0.005).times
    assert times[200] == pytest.approx(40, abs=3)
    assert times[300] - times[100] == pytest.approx(13.5, abs=3)


@pytest.mark.parametrize("percent", [10, 30])
def test_loss_is_what_was_asked_for(emulator: Emulated, target: Namespace, peer: Namespace, percent: int) -> None:
    """Within 1 point over 2,000 packets, and what ping misses is what the emulator counts."""
    fault = emulator.put("network_loss", {"percent": percent}, {"peers": [peer.ipv4], "protocol": "icmp"})
    lost = peer.pings(target.ipv4, 2000, every_s=0.002).lost_percent
    assert lost == pytest.approx(percent, abs=1)
    counted = emulator.counters()["counters"][fault]
    assert counted == {"packets": 2000, "happened": round(lost * 20)}


def test_loss_comes_in_bursts(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """A link that is bad for five packets on average loses more in a row than chance would."""
    emulator.put("network_loss", {"gilbert_elliott": {"enter": 5, "leave": 20}}, {"protocol": "icmp"})
    order = peer.pings(target.ipv4, 1000, every_s=0.002).order
    gaps = [after - before - 1 for before, after in pairwise(order) if after - before > 1]
    assert sum(gaps) / 1000 == pytest.approx(0.2, abs=0.1)
    assert sum(gaps) / len(gaps) > 3


def test_packets_are_doubled(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """As many echoes come twice as were copied, over IPv4 and IPv6, and TCP goes on with the data it had."""
    fault = emulator.put("network_duplication", {"percent": 25}, {"protocol": "icmp"})
    for address in (target.ipv4, target.ipv6):
        before = emulator.counters()["counters"][fault]["happened"]
        pings = peer.pings(address, 300, every_s=0.002)
        # ping does not wait for the answers of its last requests where it has others.
        assert set(range(1, 201)) <= set(pings.order)
        assert pings.copies / 300 == pytest.approx(0.25, abs=0.1)
        copied = emulator.counters()["counters"][fault]["happened"] - before
        # ping leaves before the copy of its last echo; the kernel asks for neighbours meanwhile.
        assert abs(copied - pings.copies) <= 3 + 3 * pings.lost_percent
    emulator.put("network_duplication", {"percent": 10}, {"protocol": "tcp"})
    assert transfer(peer, target, 1) > 1


def test_wrong_bits_are_caught_by_checksums(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """A corrupted echo is never answered, with IPv4 and IPv6; ping sees no wrong data."""
    for address, about in ((target.ipv4, peer.ipv4), (target.ipv6, peer.ipv6)):
        fault = emulator.put("network_corruption", {"percent": 20}, {"peers": [about], "protocol": "icmp"})
        pings = peer.pings(address, 300, every_s=0.002)
        assert pings.lost_percent == pytest.approx(20, abs=10)
        assert "wrong data" not in pings.text
        assert emulator.counters()["counters"][fault]["happened"] >= round(3 * pings.lost_percent)
        emulator.remove(fault)


def test_some_overtake(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """A quarter goes at once and arrives before those sent earlier, which wait 30 ms; none is lost."""
    emulator.put("network_reordering", {"percent": 25, "delay_ms": 30}, {"protocol": "icmp"})
    pings = peer.pings(target.ipv4, 300, every_s=0.005)
    assert set(range(1, 201)) <= set(pings.order)
    assert pings.order != sorted(pings.order)
    assert len([each for each in pings.times if each < 25]) / 300 == pytest.approx(0.25, abs=0.1)


def test_what_is_overtaken_in_a_new_flow_is_not_lost(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """Where the kernel tracks connections, as it does for Docker's name server: the first of ten flows' packets that
    waits comes behind others of its flow.
    """
    tracking = "table inet tracked { chain arriving { type filter hook input priority 0; ct state new accept; }; }"
    target.run("nft", "-f", "-", given=tracking)
    try:
        emulator.put("network_reordering", {"percent": 50, "delay_ms": 30}, {"protocol": "icmp"})
        for _ in range(10):
            arrived = peer.pings(target.ipv4, 150, every_s=0.002).order
            assert set(range(1, 11)) - set(arrived) == set()
    finally:
        target.run("nft", "delete", "table", "inet", "tracked")


def test_faults_compose_and_come_apart(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """Delays add up, loss comes on top; each goes without the others, in any order."""
    first = emulator.put("network_latency", {"latency_ms": 20}, {"protocol": "icmp"})
    loss = emulator.put("network_loss", {"percent": 50}, {"protocol": "icmp"})
    second = emulator.put("network_latency", {"latency_ms": 40}, {"protocol": "icmp"})
    pings = peer.pings(target.ipv4, 100)
    assert pings.times[0] >= 60
    assert 20 < pings.lost_percent < 80
    emulator.remove(first)
    assert 40 <= peer.pings(target.ipv4, 50).times[0] < 60
    emulator.remove(loss)
    pings = peer.pings(target.ipv4, 50)
    assert pings.times[0] >= 40
    assert pings.lost_percent == 0
    emulator.remove(second)
    assert peer.pings(target.ipv4, 10).median_ms < LATE_MS


def test_only_what_is_meant_is_hit(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """Neither other addresses nor other protocols nor other ports are touched."""
    fault = emulator.put("network_latency", {"latency_ms": 100}, {"peers": ["192.0.2.0/24", peer.ipv6]})
    assert peer.pings(target.ipv4, 5).median_ms < LATE_MS
    assert peer.pings(target.ipv6, 5).median_ms >= 100
    emulator.remove(fault)
    fault = emulator.put("network_latency", {"latency_ms": 100}, {"ports": [7001]})
    assert peer.pings(target.ipv4, 5).median_ms < LATE_MS
    untouched = emulator.counters()["counters"][fault]["packets"]
    assert untouched == 0
    connect = (
        "import socket, sys, time; t = time.monotonic(); socket.create_connection((sys.argv[1], int(sys.argv[2])), 9)"
    )
    listen = "import socket, sys; s = [socket.create_server(('', p)) for p in (7001, 7002)]; print(flush=True); input()"
    with target.start(sys.executable, "-c", listen) as server:
        assert server.stdout is not None
        server.stdout.readline()
        peer.run(sys.executable, "-c", connect, target.ipv4, "7002")
        assert emulator.counters()["counters"][fault]["packets"] == 0
        peer.run(sys.executable, "-c", connect, target.ipv4, "7001")
        assert emulator.counters()["counters"][fault]["packets"] > 0
        server.communicate("\n", timeout=GENEROUS_S)


def test_rules_change_without_a_packet_lost(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """What waits keeps its time while the rules are replaced again and again."""
    emulator.put("network_latency", {"latency_ms": 200})
    rule = emulator.rules[0]
    argv = peer.argv("ping", "-n", "-c", "200", "-i", "0.005", "-W", "5", target.ipv4)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
        for number in range(40):
            emulator.set([rule | {"params": {"latency_ms": 150 + number}}])
            emulator.set([])
            emulator.set([rule])
        out, _ = ping.communicate(timeout=GENEROUS_S)
    assert " 0% packet loss" in out


def test_one_fault_goes_without_a_packet_of_another_lost(
    emulator: Emulated, target: Namespace, peer: Namespace
) -> None:
    """Taking a table out would make the kernel drop what waits for others: it passes meanwhile."""
    emulator.put("network_latency", {"latency_ms": 100})
    argv = peer.argv("ping", "-n", "-c", "200", "-i", "0.005", "-W", "5", target.ipv4)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
        for _ in range(5):
            emulator.remove(emulator.put("network_latency", {"latency_ms": 20}))
        out, _ = ping.communicate(timeout=GENEROUS_S)
    assert " 0% packet loss" in out
    assert peer.pings(target.ipv4, 3).median_ms >= 100


def test_the_emulator_outlives_what_the_kernel_drops(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """Somebody takes a chain out of the namespace and all that waits is gone: what comes later is as before."""
    emulator.put("network_latency", {"latency_ms": 200})
    rules = list(emulator.rules)
    argv = peer.argv("ping", "-n", "-c", "100", "-i", "0.01", "-W", "2", target.ipv4)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
        while emulator.counters()["waiting"] < 5:
            time.sleep(0.01)
        target.run("nft", "-f", "-", given="table ip x { chain c { type filter hook input priority 0; }\n}\n")
        target.run("nft", "delete", "table", "ip", "x")
        for _ in range(20):
            emulator.set([])
            emulator.set(rules)
        out, _ = ping.communicate(timeout=GENEROUS_S)
    assert " 0% packet loss" not in out
    assert peer.pings(target.ipv4, 3).median_ms >= 200


def test_the_end_of_input_lets_all_go(target: Namespace, peer: Namespace) -> None:
    """What waits is delivered at once when the emulator ends, though the kernel's rules are still there."""
    with emulated(target) as emulator:
        fault = emulator.put("network_latency", {"latency_ms": 60_000})
        argv = peer.argv("ping", "-n", "-c", "100", "-i", "0.01", "-W", "20", target.ipv4)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ping:
            while emulator.counters()["waiting"] < 20:
                time.sleep(0.01)
            out, _ = emulator.process.communicate(timeout=GENEROUS_S)
            assert emulator.process.returncode == 0, out
            out, _ = ping.communicate(timeout=GENEROUS_S)
    assert " 0% packet loss" in out
    target.run("nft", "delete", "table", "inet", f"tc_{fault}")


def test_killed_it_fails_open(target: Namespace, peer: Namespace) -> None:
    """After SIGKILL packets pass, though the kernel's rules are still there, and leave with no mark on them."""
    with emulated(target) as emulator:
        fault = emulator.put("network_latency", {"latency_ms": 100})
        assert peer.pings(target.ipv4, 3).median_ms >= 100
        emulator.process.kill()
        emulator.process.wait(GENEROUS_S)
        marked = "table inet witness { chain c { type filter hook input priority 0; meta mark != 0 counter name n; }\n"
        target.run("nft", "-f", "-", given=f"{marked}counter n {{ }}\n}}\n")
        pings = peer.pings(target.ipv4, 20)
        assert pings.lost_percent == 0
        assert pings.median_ms < LATE_MS
        assert "packets 0 " in target.run("nft", "list", "counter", "inet", "witness", "n")
    for table in (f"tc_{fault}", "witness"):
        target.run("nft", "delete", "table", "inet", table)


def test_the_lease_ends_it(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """When nobody renews the elements of the sets, packets are no longer queued."""
    fault = emulator.put("network_latency", {"latency_ms": 100}, lease_s=3)
    assert peer.pings(target.ipv4, 3).median_ms >= 100
    until = time.monotonic() + GENEROUS_S
    while peer.pings(target.ipv4, 3).median_ms >= LATE_MS:
        assert time.monotonic() < until
    assert f"tc_{fault}" in target.run("nft", "list", "tables")


def test_bulk_data_passes(emulator: Emulated, target: Namespace, peer: Namespace) -> None:
    """At 10 ms TCP fills the link far beyond what would pass if each packet were waited for, and none is passed by."""
    fault = emulator.put("network_latency", {"latency_ms": 10})
    assert transfer(peer, target, 2) > 50
    taken = json.loads(target.run("nft", "-j", "list", "counter", "inet", f"tc_{fault}", "hits"))["nftables"][1]
    assert taken["counter"]["packets"] == emulator.counters()["counters"][fault]["packets"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nonsense", "a line of JSON is due"),
        ('{"rules": 1}', '{"rules": [...]}, '),
        ('{"rules": [7]}', "rules[0]: an object is due, not 7"),
        ('{"rules": [{"fault": "a", "slot": 16, "kind": "network_loss"}]}', "rules[0].slot: a number from 0 to 15"),
        ('{"rules": [{"fault": "a", "slot": 0, "kind": "x"}]}', "rules[0].kind: one of network_latency"),
        (
            '{"rules": [{"fault": "a", "slot": 0, "kind": "network_loss", "params": {"percent": 101}}]}',
            "rules[0].params.percent: a number from 0 to 100 is due, not 101",
        ),
    ],
)
def test_what_cannot_be_meant_changes_nothing(emulator: Emulated, line: str, error: str) -> None:
    """The answer names the field; the rules are those it had."""
    emulator.put("network_latency", {"latency_ms": 1}, {"peers": ["192.0.2.1"]})
    assert emulator.say(line)["error"].startswith(error)
    assert len(emulator.counters()["counters"]) == 1


def test_one_queue_has_one_emulator(emulator: Emulated, target: Namespace) -> None:
    """A second one says who is in its way and ends."""
    argv = target.argv(sys.executable, "-I", "-S", str(PROGRAMS / "emulator.py"))
    done = subprocess.run(argv, input="", capture_output=True, text=True, check=False, timeout=GENEROUS_S)
    assert done.returncode == 1
    assert done.stderr == f"queue {queue_rules.QUEUE} of this network namespace is in use by another program\n"
    assert emulator.say(json.dumps({"rules": []})) == {"rules": 0}


def test_whoever_holds_the_namespace_takes_one_out_without_a_packet_lost(target: Namespace, peer: Namespace) -> None:
    """The program that keeps the faults of a namespace, asked as the coordinator does: another fault goes on."""
    marks = [f"fault={n:032x} execution={n:032x} instance=t expires={int(time.time()) + 600}" for n in (1, 2)]
    rules = [json.dumps({"kind": "network_latency", "params": {"latency_ms": each}}) for each in (100, 20)]
    with target.start(sys.executable, "-I", "-S", str(PROGRAMS / "netns.py"), "hold") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"ready": True}
        ping = None
        asks = [["put", marks[0], rules[0]], *[["put", marks[1], rules[1]], ["remove", f"{2:032x}"]] * 4]
        for number, words in enumerate(asks):
            process.stdin.write(json.dumps({"id": number, "ask": words}) + "\n")
            answer = json.loads(process.stdout.readline())
            assert (answer["exit"], answer["error"]) == (0, "")
            if ping is None:
                argv = peer.argv("ping", "-n", "-c", "200", "-i", "0.005", "-W", "5", target.ipv4)
                ping = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert ping is not None
        out, _ = ping.communicate(timeout=GENEROUS_S)
        process.stdin.close()
        process.wait(GENEROUS_S)
    assert " 0% packet loss" in out
    assert target.run("nft", "list", "ruleset") == ""
