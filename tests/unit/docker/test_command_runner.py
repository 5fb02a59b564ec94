"""The runner against small programs named docker, so that each way a process can behave is exact."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import eliot
import psutil
import pytest

from actors.docker.command_runner import KEPT_BYTES, DockerCommandRunner
from actors.docker.helper_image import HelperImage
from coordinator.errors import AbilityMissing, EngineUnreachable, MissingSecret
from coordinator.faults.commands import HELPER_IMAGE, DockerCommand, EnvEntry

pytestmark = pytest.mark.anyio

ENDPOINT = "unix:///nowhere/docker.sock"
HELPER = DockerCommand(argv=("run", "--rm", HELPER_IMAGE, "x", "y"))


def missing(name: str) -> str:
    """No secret is there."""
    raise MissingSecret(name)


class Program:
    """A shell script named docker on a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def helping(self, script: str) -> DockerCommandRunner:
        """A runner whose helper image is `mine`; the script is asked for that first, and then runs as `docker`."""
        inspect = 'if [ "$3" = image ]; then echo sha256:mine; exit; fi; echo "$@" >> "$0.ran"'
        self.runner(f"{inspect}\n{script}")
        search = {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        image = HelperImage("mine", "1.0")
        return DockerCommandRunner(ENDPOINT, missing, environ=search, helper_image=image, instance="chaos-1")

    def runner(self, script: str, **environ: str) -> DockerCommandRunner:
        """A runner that finds the script; `secrets` are SECRET=hunter2."""
        path = self.folder / "docker"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        search = {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        return DockerCommandRunner(ENDPOINT, {"SECRET": "hunter2"}.__getitem__, environ=search | environ)

    def written(self, name: str) -> str:
        """What the script wrote beside itself."""
        return (self.folder / name).read_text().strip()

    async def wait_for(self, name: str) -> str:
        """The same, when it is written by a process that nobody waits for."""
        with anyio.fail_after(20):
            while not ((self.folder / name).exists() and self.written(name)):  # noqa: ASYNC110  # another process
                await anyio.sleep(0.01)
        return self.written(name)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Where the script stands."""
    return Program(tmp_path)


def is_running(pid: str) -> bool:
    """Whether this process exists and is more than a zombie."""
    try:
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_endpoint_is_on_every_command_line(program: Program) -> None:
    """Every command names its engine, and a host or context of the user's shell does not reach it."""
    runner = program.runner(
        'echo "$@"; echo "[$DOCKER_HOST$DOCKER_CONTEXT]" >&2', DOCKER_HOST="tcp://x:1", DOCKER_CONTEXT="x"
    )

    outcome = await runner.run(DockerCommand(argv=("pause", "a b")))

    assert outcome.stdout == f"-H {ENDPOINT} pause a b\n"
    assert outcome.stderr == "[]\n"
    assert outcome.ok


async def test_the_exit_code_is_the_processes_own(program: Program) -> None:
    """A failure is an outcome with both streams, and a process ended by a signal has that signal's number, negative."""
    failed = await program.runner("echo out; echo err >&2; exit 125").run(DockerCommand(argv=("run",)))
    killed = await program.runner("kill -9 $$").run(DockerCommand(argv=("run",)))

    assert (failed.exit_code, failed.stdout, failed.stderr, failed.timed_out) == (125, "out\n", "err\n", False)
    assert (killed.exit_code, killed.timed_out, killed.ok) == (-signal.SIGKILL, False, False)


async def test_much_output_is_cut_and_never_blocks(program: Program) -> None:
    """A process that prints megabytes on both streams ends, and the beginning of each stream is kept."""
    script = "head -c 3000000 /dev/zero | tr '\\0' x; head -c 3000000 /dev/zero | tr '\\0' y >&2; exit 3"

    outcome = await program.runner(script).run(DockerCommand(argv=("logs",)))

    assert outcome.exit_code == 3
    assert (outcome.stdout, outcome.stderr) == ("x" * KEPT_BYTES, "y" * KEPT_BYTES)


async def test_a_slow_machine_has_more_time(program: Program) -> None:
    """A deadline is as many times as long as the runner is told."""
    runner, command = program.runner("exec sleep 0.4"), DockerCommand(argv=("x",), deadline_s=0.02)
    assert (await runner.run(command)).timed_out
    runner.slowness = 1000.0
    assert (await runner.run(command)).ok


async def test_the_deadline_kills_the_whole_group(program: Program) -> None:
    """At its deadline a command that ignores TERM is gone, with what it started, and its output so far is kept."""
    runner = program.runner(f"trap '' TERM; sleep 600 & echo $! > {program.folder}/child; echo begun; wait")

    outcome = await runner.run(DockerCommand(argv=("stop",), deadline_s=2.0))

    assert (outcome.exit_code, outcome.timed_out, outcome.stdout) == (None, True, "begun\n")
    assert outcome.duration_s >= 2.0
    with anyio.fail_after(20):
        while is_running(program.written("child")):  # noqa: ASYNC110  # another process's child
            await anyio.sleep(0.01)


async def test_cancelling_kills_and_reaps(program: Program) -> None:
    """A cancelled command leaves no process and no zombie behind."""
    runner = program.runner(f"echo $$ > {program.folder}/self; sleep 600")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run, DockerCommand(argv=("exec",)))
        pid = await program.wait_for("self")
        tasks.cancel_scope.cancel()

    assert not psutil.pid_exists(int(pid))


async def test_a_child_that_keeps_the_streams_open_is_not_waited_for(program: Program) -> None:
    """When the process has ended, what it left holding its output delays the outcome only shortly."""
    runner = program.runner(f"echo said; sleep 600 & echo $! > {program.folder}/child; exit 4")

    outcome = await runner.run(DockerCommand(argv=("x",), deadline_s=30.0))
    child = int(program.written("child"))
    os.kill(child, signal.SIGKILL)

    assert (outcome.exit_code, outcome.stdout, outcome.timed_out) == (4, "said\n", False)


async def test_at_most_four_at_once_and_waiting_does_not_count(program: Program) -> None:
    """Nine commands run four at a time, and none loses its deadline to the others."""
    folder = program.folder
    runner = program.runner(
        f"echo x >> {folder}/now.$$; ls {folder} | grep -c now. >> {folder}/seen; sleep 0.4; rm {folder}/now.$$"
    )
    outcomes = []

    async def one() -> None:
        outcomes.append(await runner.run(DockerCommand(argv=("x",), deadline_s=20.0)))

    async with anyio.create_task_group() as tasks:
        for _ in range(9):
            tasks.start_soon(one)

    assert all(outcome.ok for outcome in outcomes)
    assert max(int(line) for line in program.written("seen").split()) <= 4
    assert max(outcome.duration_s for outcome in outcomes) < sum(outcome.duration_s for outcome in outcomes) / 3


async def test_nobody_waits_for_what_waits_for_containers(program: Program) -> None:
    """Four that stop in their grace period, and four programs: an undo is run meanwhile."""
    runner = program.runner('echo "$3" >> "$0.ran"; if [ "$3" != unpause ]; then sleep 60; fi')
    waits = [DockerCommand(argv=(verb, "x")) for verb in ("stop", "exec") for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for command in waits:
            tasks.start_soon(runner.run, command)
        with anyio.fail_after(20):
            while len((await program.wait_for("docker.ran")).split()) < len(waits):  # noqa: ASYNC110  # processes
                await anyio.sleep(0.01)
            assert (await runner.run(DockerCommand(argv=("unpause", "x")))).ok
        tasks.cancel_scope.cancel()


async def test_a_helper_gets_its_image_a_name_and_a_label(program: Program) -> None:
    """The image stands in its place by id, which is never pulled, and each helper has a name of its own."""
    runner = program.helping("")
    await runner.prepare_helper()

    assert (await runner.run(HELPER)).ok
    assert (await runner.run(HELPER)).ok

    lines = [line.split() for line in program.written("docker.ran").splitlines()]
    names = {line[line.index("--name") + 1] for line in lines}
    assert len(names) == 2
    for line in lines:
        assert line[:3] == ["-H", ENDPOINT, "run"]
        assert line[-3:] == ["sha256:mine", "x", "y"]
        assert "test-coordinator.instance=chaos-1" in line[: line.index("sha256:mine")]


async def test_an_image_that_is_gone_is_looked_for_anew(program: Program) -> None:
    """Another coordinator may have built it anew, and the old one be cleared away: the helper runs with the new one.
    Where it is the same image the engine had another reason, which is told after one try.
    """
    runner = program.helping("")
    await runner.prepare_helper()
    inspect = 'if [ "$3" = image ]; then cat "$0.id"; exit; fi; echo "$@" >> "$0.ran"'
    program.runner(f'{inspect}; case "$*" in *sha256:new*) exit 0;; esac; echo "No such image" >&2; exit 125')

    (program.folder / "docker.id").write_text("sha256:mine\n")
    outcome = await runner.run(HELPER)
    assert (outcome.exit_code, outcome.stderr) == (125, "No such image\n")
    (program.folder / "docker.id").write_text("sha256:new\n")
    assert (await runner.run(HELPER)).ok

    used = [line.split()[-3] for line in program.written("docker.ran").splitlines()]
    assert used == ["sha256:mine", "sha256:mine", "sha256:new"]


async def test_a_helper_whose_command_was_killed_is_removed(program: Program) -> None:
    """At its deadline and when cancelled, a helper that may have been made and not started is removed by its name."""
    runner = program.helping(f'[ "$3" = rm ] || {{ touch {program.folder}/up; sleep 600; }}')

    late = await runner.run(HELPER.model_copy(update={"deadline_s": 2.0}))
    (program.folder / "up").unlink()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run, HELPER)
        with anyio.fail_after(20):
            while not (program.folder / "up").exists():  # noqa: ASYNC110  # another process
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    assert late.timed_out
    lines = [line.split() for line in program.written("docker.ran").splitlines()]
    made = [line[line.index("--name") + 1] for line in lines if line[2] == "run"]
    assert [line[2:] for line in lines if line[2] == "rm"] == [["rm", "--force", name] for name in made]
    assert len(made) == 2


async def test_a_helper_without_an_image_never_starts(program: Program) -> None:
    """Preparing says what is missing; running anyway is an outcome without an exit code, and starts nothing."""
    runner = program.runner(f"touch {program.folder}/ran")

    with pytest.raises(AbilityMissing, match="no image"):
        await runner.prepare_helper()
    outcome = await runner.run(HELPER)

    assert (outcome.exit_code, outcome.timed_out) == (None, False)
    assert "no image" in outcome.stderr
    assert not (program.folder / "ran").exists()


async def test_a_secret_reaches_the_child_alone(program: Program) -> None:
    """A secret is in the child's environment, masked in its output, and a plain value is as it was."""
    runner = program.runner('echo "$TOKEN $MODE"; echo "no $TOKEN" >&2')
    command = DockerCommand(
        argv=("exec",), env=(EnvEntry(name="TOKEN", secret="SECRET"), EnvEntry(name="MODE", value="fast"))
    )

    outcome = await runner.run(command)

    assert (outcome.stdout, outcome.stderr) == ("*** fast\n", "no ***\n")


async def test_a_missing_secret_stops_the_command(program: Program) -> None:
    """Without its secret nothing is started."""
    program.runner(f"touch {program.folder}/ran")
    runner = DockerCommandRunner(ENDPOINT, missing, environ={"PATH": str(program.folder)})

    with pytest.raises(MissingSecret):
        await runner.run(DockerCommand(argv=("x",), env=(EnvEntry(name="A", secret="B"),)))
    assert not (program.folder / "ran").exists()


async def test_a_missing_cli_is_said_with_its_installation(tmp_path: Path) -> None:
    """Where there is no docker on PATH, the error names the command that installs it."""
    runner = DockerCommandRunner(ENDPOINT, missing, environ={"PATH": str(tmp_path)})

    with pytest.raises(EngineUnreachable, match=r"docker CLI not found on PATH: install it .*apt-get install"):
        await runner.run(DockerCommand(argv=("pause", "x")))


async def test_a_command_is_one_action_in_the_log(program: Program) -> None:
    """Each command is logged as one action with its line, exit code and duration, and with a secret's name only."""
    told: list[dict[str, object]] = []
    runner = program.runner("echo hunter2; exit 3")
    eliot.add_destinations(told.append)
    try:
        await runner.run(DockerCommand(argv=("exec", "logged"), env=(EnvEntry(name="TOKEN", secret="SECRET"),)))
    finally:
        eliot.remove_destination(told.append)

    # Messages logged before any destination was there come first.
    started, ended = told[-2:]
    assert started["action_type"] == ended["action_type"] == "docker:command"
    assert started["argv"] == "TOKEN=${SECRET} docker exec logged"
    assert (ended["action_status"], ended["exit_code"], ended["timed_out"]) == ("succeeded", 3, False)
    assert isinstance(ended["duration"], float)
    assert "hunter2" not in repr(told[-2:])


@pytest.mark.parametrize(
    ("argument", "why"),
    [("a\0b", "embedded null byte"), ("x" * 200_000, "Argument list too long")],
    ids=["nul", "long"],
)
async def test_what_no_process_can_be_given(program: Program, argument: str, why: str) -> None:
    """An argument that the operating system refuses is an error in one line, not a crash of whoever asked."""
    runner = program.runner("true")
    with pytest.raises(EngineUnreachable, match=f"^docker could not be started: {why}$"):
        await runner.run(DockerCommand(argv=("exec", "c", argument)))
