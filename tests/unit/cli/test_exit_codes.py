import pytest

from coordinator.cli import exit_codes
from coordinator.errors import (
    Conflict,
    DataDirInUse,
    EngineUnreachable,
    InvalidScenario,
    InvalidSettings,
    InvariantBroken,
    NotFound,
    Problem,
    Refused,
)
from coordinator.record import UndoState, Verdict
from tests.unit.cli.played import execution


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.PASSED, 0),
        (Verdict.FAILED, 1),
        (Verdict.ABORTED, 3),
        (Verdict.NOT_INJECTED, 4),
        (Verdict.ERROR, 4),
        (None, 4),
    ],
)
def test_a_verdict_has_one_exit_code(verdict: Verdict | None, code: int) -> None:
    """Every verdict, and having none, ends with its code."""
    assert exit_codes.of_execution(execution(verdict=verdict)) == code


@pytest.mark.parametrize("verdict", list(Verdict))
def test_left_broken_always_wins(verdict: Verdict) -> None:
    """Whatever the verdict: an undo that is not complete ends with 5."""
    assert exit_codes.of_execution(execution(verdict=verdict, undo=UndoState.INCOMPLETE)) == 5
    assert exit_codes.of_execution(execution(verdict=verdict), left_broken=("docker start x",)) == 5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidSettings("x"), 2),
        (NotFound("x"), 2),
        (EngineUnreachable("x"), 4),
        (Refused("x"), 4),
        (Conflict("x"), 4),
        (DataDirInUse("x"), 4),
        (InvariantBroken("x"), 70),
        (ValueError("x"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_has_one_exit_code(error: BaseException, code: int) -> None:
    """Every class of error ends with its code."""
    assert exit_codes.told(error).code == code


def test_all_problems_of_a_scenario_are_told() -> None:
    """A scenario's problems are a line each, in the form editors know, with 2."""
    problems = tuple(Problem("a.yaml", line, "phases", "nothing", "a list") for line in (3, 4))
    told = exit_codes.told(InvalidScenario(problems))
    assert told == (("a.yaml:3: phases: nothing; allowed: a list", "a.yaml:4: phases: nothing; allowed: a list"), 2)


def test_a_group_is_told_by_its_leaves() -> None:
    """Errors of parallel tasks are told one by one, each once, and the worst code counts."""
    inner = ExceptionGroup("inner", [EngineUnreachable("gone"), EngineUnreachable("gone")])
    told = exit_codes.told(ExceptionGroup("outer", [inner, InvalidSettings("wrong")]))
    assert told == (("test-coordinator: gone", "test-coordinator: wrong"), 4)
