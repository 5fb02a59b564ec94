"""Limits of a cgroup on the real engine: felt by what runs inside, and afterwards every file as before."""

from pathlib import Path

from tests.conftest import PATIENCE
from tests.integration.coordinator_process import Coordinator, eventually, scenario
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker

GROUPS = Path("/sys/fs/cgroup")
NAMES = (
    "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us", "memory/memory.limit_in_bytes",
    "memory/memory.memsw.limit_in_bytes", "pids/pids.max", "/cpu.max", "/memory.max", "/memory.swap.max", "/pids.max",
)  # fmt: skip
"""Controller of version 1, or none, and file."""

SPIN = ["sh", "-c", "while :; do :; done"]
FILL = ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]
FORK = ["sh", "-c", "/bin/true; exit $?"]
"""A shell that makes a process."""

CPUS = min(0.02 * PATIENCE, 0.3)
"""Little; where all is slow enough that something can still be run inside."""

LIMITS: list[dict[str, object]] = [
    {"type": "cpu_limit", "cpus": f"{CPUS:g}"},
    {"type": "memory_limit", "limit": "32m"},
]
PIDS: dict[str, object] = {"type": "pid_exhaustion"}


def files(container: Container) -> dict[str, str]:
    """What the kernel says of its limits, as the host sees it, in either version."""
    lines = Path(f"/proc/{container.look('{{.State.Pid}}')}/cgroup").read_text().splitlines()
    paths = {controllers: path for _, controllers, path in (line.split(":", maxsplit=2) for line in lines)}
    found = {}
    for name in NAMES:
        controller, file = name.split("/")
        place = GROUPS / controller / paths.get(controller, "/").lstrip("/") / file
        if controller in paths and place.exists():
            found[name] = place.read_text()
    assert found
    return found


def used(container: Container) -> float:
    """How much of one CPU it uses, in per cent, as docker sees it."""
    return float(docker("stats", "--no-stream", "--format", "{{.CPUPerc}}", container.id).rstrip("%"))


def throttled(container: Container) -> int:
    """How often the kernel has stopped it for the rest of a period, as its own files say."""
    words = docker("exec", container.id, "sh", "-c", "cat /sys/fs/cgroup/cpu/cpu.stat || cat /sys/fs/cgroup/cpu.stat")
    return int(words.split()[words.split().index("nr_throttled") + 1])


def runs(container: Container, *argv: str) -> bool:
    """Whether this works inside."""
    try:
        docker("exec", container.id, *argv)
    except DockerFailed:
        return False
    return True


def put(served: Coordinator, container: Container, faults: list[dict[str, object]]) -> str:
    """An execution with these, once all are in force."""
    return begun(served, scenario(faults, names=[container.name]))


def begun(served: Coordinator, definition: dict[str, object]) -> str:
    """An execution of this, once all its faults are in force."""
    execution_id = served.submit(definition)

    def states() -> set[str]:
        return {fault["state"] for fault in served.execution(execution_id)["faults"]}

    eventually(lambda: states() == {"active"}, "the effects")
    return execution_id


def test_limits_are_felt_and_set_back(served: Coordinator, containers: Sandbox) -> None:
    """Limits that were there and none alike: less CPU and memory while they are on, and afterwards all as before."""
    own = ["--cpus", "1.5", "--memory", "512m", "--pids-limit", "200"]
    for options in (own, []):
        target = containers.run("limited", command=SPIN, options=options)
        before = files(target)
        assert runs(target, *FILL)
        had = throttled(target)
        execution_id = put(served, target, LIMITS)
        assert used(target) < 200 * CPUS
        assert throttled(target) > had
        assert not runs(target, *FILL)
        assert target.status == "running"
        served.call("DELETE", f"/api/v1/executions/{execution_id}")
        eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")  # noqa: B023  # at once
        assert served.execution(execution_id)["undo"] == "complete"
        assert files(target) == before
        assert runs(target, *FILL)
        docker("kill", target.id)


def test_they_are_set_back_after_a_crash(served: Coordinator, containers: Sandbox) -> None:
    """SIGKILL of the coordinator and its warden: no process can be made until the next start."""
    target = containers.run("limited")
    before = files(target)
    assert runs(target, *FORK)
    execution_id = put(served, target, [PIDS])
    assert not runs(target, *FORK)
    served.kill()
    assert not runs(target, *FORK)
    served.start()
    eventually(lambda: files(target) == before, "the undo")
    eventually(lambda: served.execution(execution_id)["undo"] == "complete", "the record")
    assert runs(target, *FORK)


def test_what_somebody_else_changes_meanwhile_is_told_and_theirs(served: Coordinator, containers: Sandbox) -> None:
    """`docker update`, after which one limit stays as it is then and the other is set anew: told, and afterwards all is
    as the update made it. What the kernel kills under the limit is told as well, and the container runs on.
    """
    target = containers.run("updated", options=["--cpus", "1.5", "--memory", "256m", "--memory-swap", "256m"])
    cpu: dict[str, object] = {"type": "cpu_limit", "cpus": "0.25"}
    memory: dict[str, object] = {"type": "memory_limit", "limit": "32m", "on_target_restart": "reapply"}
    execution_id = put(served, target, [cpu, memory])

    def told(event: str) -> list[str]:
        return [each["text"] for each in served.execution(execution_id)["timeline"] if each["event"] == event]

    limited = files(target)
    docker("update", "--cpus", "1.2", "--memory", "128m", "--memory-swap", "128m", target.id)

    def changed() -> set[str]:
        now = files(target)
        return {name for name in limited if now[name] != limited[name]}

    eventually(lambda: bool(told("fault_reapplied")), "the limit anew")
    # Seen between the two writes of one update, memory is set anew twice.
    eventually(lambda: changed() in ({"cpu/cpu.cfs_quota_us"}, {"/cpu.max"}), "what is theirs alone")
    assert len(told("fault_interrupted")) > 1
    assert all(text.endswith("by somebody else") for text in told("fault_interrupted"))
    assert not runs(target, *FILL)
    eventually(lambda: bool(told("target_out_of_memory")), "what the kernel killed")
    assert target.status == "running"
    served.call("DELETE", f"/api/v1/executions/{execution_id}")
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")
    found = served.execution(execution_id)
    assert found["undo"] == "complete"
    assert {fault["type"]: fault["targets"][0]["outcome"] for fault in found["faults"]} == {
        "cpu_limit": "effective; changed by somebody else since: left as it is",
        "memory_limit": "effective; put back",
    }
    fresh = containers.run("alike", options=["--cpus", "1.2", "--memory", "128m", "--memory-swap", "128m"])
    assert files(target) == files(fresh)
