import pytest

from actors.prober.exec_probe import command_of, first_line, look
from actors.prober.failures import NoContainer
from coordinator.faults.commands import EnvEntry, Outcome
from coordinator.faults.facts import ContainerState
from coordinator.record import Reading
from coordinator.scenarios.probes import ExecProbe
from coordinator.secret_text import SecretRef
from tests.unit.prober.scene import DictionaryEngine, OneOutcome, container

pytestmark = pytest.mark.anyio

PROBE = ExecProbe.model_validate({"target": "db", "command": ["pg_isready", "-q"], "timeout": "2s"})


async def run(probe: ExecProbe, outcome: Outcome, state: ContainerState = ContainerState.RUNNING) -> Reading:
    engine = DictionaryEngine()
    engine.put(container("db-1", state=state))
    return await look(probe, (container("db-1"),), OneOutcome(outcome), engine)


def test_secrets_travel_in_the_environment_and_plain_values_as_arguments() -> None:
    """A secret never stands in the arguments; a plain PATH never becomes docker's own."""
    command = command_of(PROBE.model_copy(update={"env": {"PGPASSWORD": SecretRef(secret="DB"), "PATH": "/x"}}), "id-1")
    assert command.argv == ("exec", "-e", "PGPASSWORD", "-e", "PATH=/x", "id-1", "pg_isready", "-q")
    assert command.env == (EnvEntry(name="PGPASSWORD", secret="DB"),)
    assert command.deadline_s == 2.0


@pytest.mark.parametrize(
    ("output", "value"),
    [("", None), ("\n", None), ("42\nmore", 42.0), (" 1.5 \n", 1.5), ("ready\n", "ready"), ("nan", "nan")],
)
def test_first_line(output: str, value: float | str | None) -> None:
    """The value is the first line, a number when it reads as a finite one."""
    assert first_line(output) == value


async def test_a_good_end() -> None:
    """The expected exit code with the expected output is good."""
    probe = ExecProbe.model_validate({"target": "db", "command": ["x"], "expect": {"output_contains": "ok"}})
    reading = await run(probe, Outcome(exit_code=0, stdout="all ok\n", duration_s=0.2))
    assert (reading.ok, reading.latency_s, reading.value) == (True, 0.2, "all ok")


async def test_wrong_ends() -> None:
    """Another exit code, or output without the text, is a wrong answer; a command that never ended is a timeout."""
    probe = ExecProbe.model_validate({"target": "db", "command": ["x"], "expect": {"output_contains": "ok"}})
    code = await run(probe, Outcome(exit_code=2, stderr="no\nway"))
    text = await run(probe, Outcome(exit_code=0, stdout="down"))
    late = await run(probe, Outcome(exit_code=None, timed_out=True))
    assert code.error == "wrong answer: exit code 2, expected 0: no way"
    assert text.error == "wrong answer: 'ok' is not in the output"
    assert (late.latency_s, late.error) == (None, "timeout: no answer within 1 s")


async def test_the_failure_of_docker_is_not_the_commands() -> None:
    """An expected exit code 1 counts only while the container runs: docker itself ends with 1 when it does not."""
    probe = ExecProbe.model_validate({"target": "db", "command": ["x"], "expect": {"exit_code": 1}})
    assert (await run(probe, Outcome(exit_code=1))).ok
    stopped = await run(probe, Outcome(exit_code=1), ContainerState.EXITED)
    assert stopped.error == "NoContainer: db-1 is not running"


async def test_without_a_container_nothing_is_run() -> None:
    """A target without a container runs no command."""
    runner = OneOutcome()
    with pytest.raises(NoContainer):
        await look(PROBE, (), runner, DictionaryEngine())
    assert runner.ran == []
