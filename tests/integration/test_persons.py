"""What a person does to a target by hand stays, whoever puts the faults back."""

import os
import shutil
from pathlib import Path

from tests.integration.coordinator_process import coordinator, eventually, scenario
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
