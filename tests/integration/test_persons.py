"""What a person does to a target by hand stays, whoever puts the faults back."""

import os
import shutil
from pathlib import Path

from tests.integration.coordinator_process import Coordinator, coordinator, eventually, scenario
from tests.integration.sandbox import Container, Sandbox, docker

PERSON = """#!/bin/sh
# Somebody does by hand what the coordinator is about to do, after its last look.
case "$3 $4" in "pause "* | "kill "* | "network disconnect") {docker} "$@" ;; esac
exec {docker} "$@"
"""


def networks(container: Container) -> str:
    """Those it is in."""
    return container.look("{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}").strip()


def test_who_is_first_keeps_it(engine: str, containers: Sandbox, tmp_path: Path) -> None:
    """Paused, killed or disconnected by hand a moment before: nothing is injected and nothing undone, not even by a
    coordinator that starts anew where the first was killed.
    """
    shim = tmp_path / "bin" / "docker"
    shim.parent.mkdir()
    shim.write_text(PERSON.format(docker=shutil.which("docker")))
    shim.chmod(0o755)
    network = containers.network()
    paused, killed, apart = (containers.run(name, options=["--network", network]) for name in ("p", "k", "a"))
    faults: list[dict[str, object]] = [
        {"type": "container_pause", "target": "p"},
        {"type": "container_kill", "target": "k"},
        {"type": "network_disconnect", "target": "a", "network": network},
    ]
    targets = {"p": {"names": [paused.name]}, "k": {"names": [killed.name]}, "a": {"names": [apart.name]}}
    with coordinator(tmp_path, PATH=f"{shim.parent}:{os.environ['PATH']}") as served:
        served.start()
        execution_id = served.submit(scenario(faults, names=[], targets=targets))

        def told() -> dict[str, str]:
            entries = served.execution(execution_id)["timeline"]
            return {each["target"]: each["text"] for each in entries if each["event"] == "fault_not_injected"}

        eventually(lambda: len(told()) == len(faults), "the refusals")
        assert all(text.startswith("nothing was done: ") for text in told().values()), told()
        served.kill()
        served.start()
        eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
        ended = served.execution(execution_id)
    assert {fault["state"] for fault in ended["faults"]} == {"not_injected"}, ended
    assert (paused.status, killed.status, networks(apart)) == ("paused", "exited", "")
    docker("unpause", paused.id)


def test_who_undoes_it_keeps_what_comes_after(served: Coordinator, containers: Sandbox) -> None:
    """Unpaused or connected by hand, and then paused or disconnected by hand: that stays, in whatever life of the
    coordinator the fault ends. A network that is removed meanwhile is not gone back to, even if there is another of
    its name; the fault is undone all the same.
    """
    network, lost = containers.network(), containers.network("lost")
    paused = containers.run("p")
    apart = containers.run("a", options=["--network", network])
    adrift = containers.run("l", options=["--network", lost])
    faults: list[dict[str, object]] = [
        {"type": "container_pause", "target": "p"},
        {"type": "network_disconnect", "target": "a", "network": network},
        {"type": "network_disconnect", "target": "l", "network": lost},
    ]
    targets = {"p": {"names": [paused.name]}, "a": {"names": [apart.name]}, "l": {"names": [adrift.name]}}
    execution_id = served.submit(scenario(faults, names=[], targets=targets))

    def told(event: str) -> int:
        return sum(each["event"] == event for each in served.execution(execution_id)["timeline"])

    eventually(lambda: told("fault_effective") == len(faults), "the effects")
    containers.renew_network(lost)
    docker("unpause", paused.id)
    docker("network", "connect", network, apart.id)
    eventually(lambda: told("fault_interrupted") == 2, "the interruptions")
    docker("pause", paused.id)
    docker("network", "disconnect", network, apart.id)
    served.kill()
    served.start()
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    ended = served.execution(execution_id)
    assert ended["undo"] == "complete", ended
    assert (paused.status, networks(apart), networks(adrift)) == ("paused", "", "")
    outcomes = {target["name"]: target["outcome"] for fault in ended["faults"] for target in fault["targets"]}
    assert {name: outcome.removeprefix("effective; ") for name, outcome in outcomes.items()} == {
        paused.name: "changed by somebody else since: left as it is",
        apart.name: "changed by somebody else since: left as it is",
        adrift.name: "the network is gone: nothing to go back to",
    }
    docker("unpause", paused.id)
