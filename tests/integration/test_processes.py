"""Processes inside real containers, stopped and killed from outside; read back from /proc, where anybody may read."""

import os
import signal
import tarfile
from pathlib import Path
from uuid import uuid4

from actors.docker.programs.limits import RECORD
from tests.integration.coordinator_process import Coordinator, eventually, scenario
from tests.integration.sandbox import Container, Sandbox, docker
from tests.integration.test_limits import put
from tests.integration.test_stress import finish, folder

MAIN = ["sh", "-c", "trap 'exit 0' TERM; sleep 1111 & sleep 2222 & sleep 3333 & while :; do wait; done"]
"""Busybox has no bash: the first of its processes is `sh`, the others are `sleep`."""

ASLEEP, STOPPED = "S", "T"


def processes(container: Container) -> dict[str, int]:
    """The number of each of its processes, as the host counts them, by the last word of its command line."""
    rows = docker("top", container.id, "-eo", "pid,args").splitlines()[1:]
    return {row.split()[-1]: int(row.split()[0]) for row in rows}


def states(container: Container) -> dict[str, str]:
    """The state of each, as /proc has it."""
    found = {}
    for name, pid in processes(container).items():
        found[name] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return found


def kept(container: Container) -> list[str]:
    """What we keep on its cgroup: systemd keeps something there too."""
    return [name for name in os.listxattr(folder(container, "devices")) if name.startswith(RECORD)]


def test_what_is_frozen_goes_on_and_nothing_else(served: Coordinator, containers: Sandbox) -> None:
    """A process that a person has stopped stays stopped; the main process is frozen like any other; a pause of the
    container while it is on changes nothing; and all survives the death of the coordinator and its warden.
    """
    target = containers.run("frozen", command=MAIN, options=["--user", "1234"])
    eventually(lambda: len(states(target)) == 4, "its processes")
    os.kill(processes(target)["1111"], signal.SIGSTOP)
    before = states(target)
    main = next(name for name in before if not name.isdigit())
    assert before == {main: ASLEEP, "1111": STOPPED, "2222": ASLEEP, "3333": ASLEEP}

    execution_id = put(served, target, [{"type": "process_freeze", "pattern": "^sh |[23]{4}"}])
    assert states(target) == dict.fromkeys(before, STOPPED)
    finish(served, execution_id)
    assert states(target) == before
    assert kept(target) == []

    execution_id = put(served, target, [{"type": "process_freeze", "name": "sleep"}])
    docker("pause", target.id)
    finish(served, execution_id)
    docker("unpause", target.id)
    eventually(lambda: states(target) == before, "the end of the pause")

    put(served, target, [{"type": "process_freeze", "name": "sleep"}])
    served.kill()
    assert states(target) == {**dict.fromkeys(before, STOPPED), main: ASLEEP}
    served.start()
    eventually(lambda: states(target) == before, "the undo")
    assert kept(target) == []


def test_what_is_killed_is_gone_and_the_main_process_is_not(served: Coordinator, containers: Sandbox) -> None:
    """By name or command line; a signal that is handled is delivered; what cannot be meant is told, and not done."""
    target = containers.run("thinned", command=MAIN, options=["--user", "1234"])
    eventually(lambda: len(states(target)) == 4, "its processes")
    everything = states(target)
    finish(served, put(served, target, [{"type": "process_kill", "pattern": "sleep 2+$"}]))
    assert states(target) == {name: state for name, state in everything.items() if name != "2222"}
    finish(served, put(served, target, [{"type": "process_kill", "name": "sleep", "signal": "TERM"}]))
    eventually(lambda: len(states(target)) == 1, "their end")

    left = states(target)
    odd: list[dict[str, object]] = [{"type": "process_kill", "name": name} for name in ("sh", "nginx")]
    execution_id = served.submit(scenario(odd, names=[target.name], duration="1s"))
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    execution = served.execution(execution_id)
    assert execution["verdict"] == "not_injected"
    assert "only its main process is of name 'sh'" in execution["reason"]
    assert "no process of name 'nginx' runs in it; there are: sh" in execution["reason"]
    assert states(target) == left


def test_a_container_of_one_file_needs_no_more(served: Coordinator, tmp_path: Path) -> None:
    """A static program, and no other file: no shell, no library, no tool."""
    archive, name = tmp_path / "image.tar", f"tc-test-one-file:{uuid4().hex[:12]}"
    with tarfile.open(archive, "w") as tar:
        tar.add("/bin/busybox", "sleep")
    docker("import", str(archive), name)
    alone = Sandbox(name)
    try:
        target = alone.run("alone", command=["/sleep", "4444"])
        execution_id = put(served, target, [{"type": "process_freeze", "name": "sleep"}])
        assert states(target) == {"4444": STOPPED}
        finish(served, execution_id)
        assert states(target) == {"4444": ASLEEP}
    finally:
        alone.close()
        docker("image", "rm", "--force", name)
