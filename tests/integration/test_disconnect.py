"""A container taken out of its network on the real engine: measured from inside, and exactly as before afterwards."""

import json
from pathlib import Path

from tests.integration.coordinator_process import Coordinator, eventually, scenario
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker


def reaches(source: Container, name: str) -> bool:
    """Whether an echo comes back from this name within a second."""
    try:
        docker("exec", source.id, "ping", "-c", "1", "-W", "1", name)
    except DockerFailed:
        return False
    return True


def place(container: Container, network: str) -> tuple[object, ...]:
    """What the engine says of its place in the network, but for what is new with every endpoint."""
    told = json.loads(container.look(f'{{{{json (index .NetworkSettings.Networks "{network}")}}}}'))
    return told["IPAddress"], told["MacAddress"], sorted(told["Aliases"]), told["IPAMConfig"] or {}, told["Gateway"]


def networks(container: Container) -> list[str]:
    """The names of those it is in."""
    return list(json.loads(container.look("{{json .NetworkSettings.Networks}}")))


def hosts(container: Container) -> bytes:
    """Its /etc/hosts."""
    return Path(container.look("{{.HostsPath}}")).read_bytes()


def states(served: Coordinator, execution_id: str) -> list[str]:
    """Of its faults."""
    return [fault["state"] for fault in served.execution(execution_id)["faults"]]


def ended(served: Coordinator, execution_id: str) -> None:
    """Wait for the end; everything must be undone."""
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    assert served.execution(execution_id)["undo"] == "complete", served.execution(execution_id)


def test_out_of_a_network_and_in_again(served: Coordinator, containers: Sandbox) -> None:
    """While it is on, neither address nor alias answers and the other network still does; afterwards the chosen
    address, the MAC address and the aliases are those of before, /etc/hosts is byte for byte what it was, and what
    nobody chose is not pinned.
    """
    subnet = ["--subnet", "10.213.77.0/28"]
    left, kept = containers.network("left", options=subnet), containers.network("kept")
    own = ["--network", left, "--ip", "10.213.77.9", "--network-alias", "api", "--network-alias", "web"]
    chosen = containers.run("chosen", options=own)
    given = containers.run("given", options=["--network", left, "--network-alias", "db"])
    peer = containers.run("peer", options=["--network", left])
    for one in (chosen, peer):
        docker("network", "connect", kept, one.id)
    with Path(given.look("{{.HostsPath}}")).open("ab") as mine:
        mine.write(b"\n# mine\n192.0.2.1\tx")
    before = place(chosen, left), place(given, left), hosts(chosen), hosts(given)
    assert reaches(peer, "api")
    assert reaches(peer, "db")

    fault: dict[str, object] = {"type": "network_disconnect", "network": left}
    names = [chosen.name, given.name]
    execution_id = served.submit(scenario([fault], names=names))
    eventually(lambda: states(served, execution_id) == ["active"], "the effect")
    assert (networks(chosen), networks(given)) == ([kept], [])
    assert not any(reaches(peer, name) for name in ("api", "db", "10.213.77.9"))
    assert reaches(peer, chosen.name)

    served.call("DELETE", f"/api/v1/executions/{execution_id}")
    ended(served, execution_id)
    assert (place(chosen, left), place(given, left), hosts(chosen), hosts(given)) == before
    assert reaches(peer, "api")
    assert reaches(peer, "db")


def test_it_comes_back_after_a_crash_and_a_restart(served: Coordinator, containers: Sandbox) -> None:
    """SIGKILL of the coordinator and its warden, then a restart of the target, which does not bring the network back:
    the next start does.
    """
    network = containers.network()
    target, peer = (containers.run(name, options=["--network", network]) for name in ("target", "peer"))
    fault: dict[str, object] = {"type": "network_disconnect", "network": network}
    execution_id = served.submit(scenario([fault], names=[target.name]))
    eventually(lambda: networks(target) == [], "the effect")
    served.kill()
    docker("restart", "-t", "0", target.id)
    assert networks(target) == []
    served.start()
    eventually(lambda: networks(target) == [network], "the undo")
    ended(served, execution_id)
    assert reaches(peer, target.name)
