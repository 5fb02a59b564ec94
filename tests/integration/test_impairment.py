"""A bad network on the real engine, measured with ping from a container beside the target."""

import os
import re
import signal
import subprocess
from pathlib import Path

from tests.integration.coordinator_process import Coordinator, eventually, scenario
from tests.integration.sandbox import Container

PACKETS = 200
JUDGED = 140
SENT = 640
"""Ping waits for the last ones no longer than twice what others took, which a busy machine may exceed: those that are
judged have further 2.5 s to come back.
"""
LATENCY: dict[str, object] = {
    "type": "network_latency", "latency": "50ms", "to": "a", "target": "b", "protocol": "icmp",
}  # fmt: skip
LOSS: dict[str, object] = {"type": "network_loss", "percent": "30%", "to": "a", "target": "b"}
TWICE: dict[str, object] = {"type": "network_duplication", "percent": "100%", "to": "a", "target": "b"}

WRONG: dict[str, object] = {"type": "network_corruption", "percent": "30%", "to": "a", "target": "b"}
OVERTAKING: dict[str, object] = {
    "type": "network_reordering", "percent": "50%", "delay": "100ms", "to": "a", "target": "b"
}  # fmt: skip
IDLE: dict[str, object] = {
    "type": "network_corruption", "percent": "100%", "to": "a", "target": "b", "protocol": "udp",
}  # fmt: skip
"""About packets of which nobody sends any here."""


def inside(container: Container, *argv: str) -> str:
    """What a program of this machine prints in a container's network namespace."""
    entered = ["nsenter", "-t", container.look("{{.State.Pid}}"), "-n", *argv]
    return subprocess.run(entered, check=False, capture_output=True, text=True).stdout


def network_of(pid: str) -> str:
    """The network namespace of a process."""
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def ping(source: Container, target: Container, count: int = PACKETS) -> tuple[float, float, int]:
    """The least round trip in ms, the share that was lost in percent, and how many answers came twice."""
    told = inside(source, "ping", "-q", "-n", "-i", "0.005", "-c", str(count), "-W", "1", target.address)
    trips = re.search(r"= ([\d.]+)/", told)
    lost = re.search(r"([\d.]+)% packet loss", told)
    twice = re.search(r"\+(\d+) duplicates", told)
    assert lost is not None, told
    return float(trips[1]) if trips else 0.0, float(lost[1]), int(twice[1]) if twice else 0


def played(served: Coordinator, pair: tuple[Container, Container], *faults: dict[str, object]) -> str:
    """An execution under which all of these are on."""
    targets = {name: {"names": [one.name]} for name, one in zip("ab", pair, strict=True)}
    execution_id = served.submit(scenario(list(faults), names=[], targets=targets))

    def states() -> list[str]:
        return [fault["state"] for fault in served.execution(execution_id)["faults"]]

    eventually(lambda: states() == ["active"] * len(faults), "the effects")
    return execution_id


def undo(served: Coordinator, execution_id: str, fault_type: str) -> None:
    """End one of its faults, by itself."""
    faults = served.execution(execution_id)["faults"]
    (fault_id,) = [fault["id"] for fault in faults if fault["type"] == fault_type]
    assert served.call("DELETE", f"/api/v1/faults/{fault_id}").status_code == 200


def test_late_lost_and_twice_at_once(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """Three faults on one container add up, each is taken out without disturbing the others, and in the end the
    namespace is as it was, byte for byte. Each tells what it met; one about another protocol met nothing and says so.
    """
    rules = ("nft", "--stateless", "list", "ruleset")
    before = inside(pair[1], *rules)
    least, lost, twice = ping(*pair)
    assert least < 50
    assert (lost, twice) == (0, 0)
    execution_id = played(served, pair, LATENCY, LOSS, TWICE, IDLE)
    least, lost, twice = ping(*pair)
    assert 50 <= least < 70
    # Both of a pair have to be lost for an answer to be missing: 9 % of 200.
    assert 2 <= lost < 25
    assert twice > PACKETS / 4

    undo(served, execution_id, "network_duplication")
    least, lost, twice = ping(*pair)
    assert (least >= 50, twice) == (True, 0)
    assert 15 < lost < 45

    undo(served, execution_id, "network_latency")
    least, lost, _ = ping(*pair)
    assert least < 50
    assert 15 < lost < 45

    undo(served, execution_id, "network_loss")
    assert ping(*pair)[1] == 0
    undo(served, execution_id, "network_corruption")
    record = served.execution(execution_id)
    told = {fault["type"]: fault["targets"][0] for fault in record["faults"]}
    assert told.pop("network_corruption")["outcome"] == "effective; put back; met no packet"
    assert all(0 < target["disturbed"] <= target["packets"] for target in told.values()), told
    assert told["network_loss"]["outcome"].endswith(" lost")
    (vain,) = [entry for entry in record["timeline"] if entry["event"] == "fault_met_nothing"]
    assert (vain["target"], vain["text"]) == ("b", "met no packet: nothing was disturbed")
    eventually(lambda: inside(pair[1], *rules) == before, "the rules from before")


def test_wrong_and_out_of_order_at_once(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """Before, each ping is answered in its turn and no checksum is wrong. Then the kernel of the target counts wrong
    ones, whose pings are lost, and others overtake; without the one fault the other is still there, and in the end all
    is as before.
    """
    rules = ("nft", "--stateless", "list", "ruleset")
    before = inside(pair[1], *rules)

    def seen() -> tuple[int, int, bool]:
        """Of the first JUDGED pings those lost; wrong checksums at the target; whether any overtook another."""
        wrong = wrong_checksums(pair[1])
        told = inside(pair[0], "ping", "-n", "-i", "0.005", "-c", str(SENT), "-W", "1", pair[1].address)
        order = [int(each) for each in re.findall(r"icmp_seq=(\d+) ", told)]
        lost = JUDGED - sum(each <= JUDGED for each in order)
        return lost, wrong_checksums(pair[1]) - wrong, order != sorted(order)

    assert seen() == (0, 0, False)
    execution_id = played(served, pair, WRONG, OVERTAKING)
    lost, wrong, overtaken = seen()
    assert 0.13 * JUDGED < lost < 0.47 * JUDGED
    assert lost <= wrong < SENT / 2
    assert overtaken

    undo(served, execution_id, "network_corruption")
    assert seen() == (0, 0, True)
    undo(served, execution_id, "network_reordering")
    assert seen() == (0, 0, False)
    eventually(lambda: inside(pair[1], *rules) == before, "the rules from before")


def wrong_checksums(container: Container) -> int:
    """How many messages of ICMP its kernel has thrown away for that."""
    table = [line.split() for line in inside(container, "cat", "/proc/self/net/snmp").splitlines()]
    names, values = (line for line in table if line[0] == "Icmp:")
    return int(values[names.index("InCsumErrors")])


def test_an_emulator_that_dies_lets_all_pass_and_comes_back(
    served: Coordinator, pair: tuple[Container, Container]
) -> None:
    """Killed, nothing is held up; the helper starts it again with the same faults, and claims no more than is known of
    what it did before.
    """
    execution_id = played(served, pair, LATENCY)
    assert ping(*pair, count=5)[0] >= 50
    namespace = network_of(pair[1].look("{{.State.Pid}}"))
    listed = subprocess.run(["pgrep", "-f", "emulator.py"], check=True, capture_output=True, text=True).stdout
    (emulator,) = [pid for pid in listed.split() if network_of(pid) == namespace]
    os.kill(int(emulator), signal.SIGKILL)
    assert ping(*pair, count=1)[1] == 0
    eventually(lambda: ping(*pair, count=2)[0] >= 50, "the delay")
    undo(served, execution_id, "network_latency")
    (told,) = served.execution(execution_id)["faults"][0]["targets"]
    assert (told["packets"] >= 8, told["disturbed"]) == (True, None)


def test_nothing_is_late_without_a_coordinator(served: Coordinator, pair: tuple[Container, Container]) -> None:
    """SIGKILL of the coordinator and its warden ends the delay at once, with nothing started again."""
    played(served, pair, LATENCY)
    served.kill()
    eventually(lambda: ping(*pair, count=2)[0] < 50, "the end of the delay")
    assert ping(*pair, count=20)[1] == 0
