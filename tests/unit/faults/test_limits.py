"""Limits of a cgroup: what is written, how it is set back, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from coordinator.faults.catalogue import AnyFault
from coordinator.faults.commands import FAULT, HELPER_IMAGE, LIMITS_PROGRAM, MARK
from coordinator.faults.facts import ContainerFacts, ContainerState, EngineInfo
from coordinator.faults.limits import CgroupFault
from coordinator.faults.looks import Succeeded
from coordinator.faults.model import Surroundings

FAULTS: TypeAdapter[object] = TypeAdapter(AnyFault)


def fault(**fields: object) -> CgroupFault:
    """As a scenario writes it."""
    made = FAULTS.validate_python({"target": "t"} | fields)
    assert isinstance(made, CgroupFault)
    return made


def container(state: str = "running") -> ContainerFacts:
    """A container in this state."""
    return ContainerFacts(id="c" * 64, name="web", image="i", state=ContainerState(state), started_at="s")


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"type": "cpu_limit", "cpus": "0.2"}, ("cpu", "0.200000")),
        ({"type": "memory_limit", "limit": "64m"}, ("memory", "67108864")),
        ({"type": "memory_limit", "limit": "50%"}, ("memory", "50%")),
        ({"type": "pid_exhaustion"}, ("pids", "0")),
        ({"type": "pid_exhaustion", "leave": "7"}, ("pids", "7")),
    ],
)
def test_a_helper_writes_it_and_sets_it_back(fields: dict[str, object], asked: tuple[str, str]) -> None:
    """Under the fault's id, by which the undo finds what was there before; without capabilities or network."""
    (target,) = fault(**fields).plan([container()]).filled({FAULT: "f-1"}).targets

    program = target.inject.argv.index(LIMITS_PROGRAM)
    assert target.inject.argv[program + 1 :] == ("put", "f-1", *asked, "end", MARK, "c" * 64)
    assert target.undo is not None
    assert target.undo.command.argv[program + 1 :] == ("remove", "f-1", "c" * 64)
    assert target.inject.argv[:program] == target.undo.command.argv[:program]
    assert HELPER_IMAGE in target.inject.argv
    assert {"--privileged", "--cap-add"}.isdisjoint(target.inject.argv)
    assert target.effect == Succeeded()
    assert target.undo.restores is None
    assert set(target.undo.needed_in) == {ContainerState.RUNNING, ContainerState.PAUSED}


def test_what_does_not_run_has_no_cgroup() -> None:
    """It is named with its state."""
    plan = fault(type="pid_exhaustion").plan([container("exited")])
    assert plan.targets == ()
    assert plan.untouched[0].why == "is exited, not running: left alone"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"type": "cpu_limit", "cpus": "1.5"}, "is limited to 1.5 CPUs as it is: 1.5 would limit nothing"),
        ({"type": "cpu_limit", "cpus": "1.4"}, ""),
        (
            {"type": "memory_limit", "limit": "65m"},
            "is limited to 67108864 bytes as it is: 68157440 would limit nothing",
        ),
        ({"type": "memory_limit", "limit": "63m"}, ""),
        ({"type": "memory_limit", "limit": "50%"}, ""),
        ({"type": "pid_exhaustion"}, ""),
    ],
)
def test_what_the_engine_limits_more_is_left_alone(fields: dict[str, object], why: str) -> None:
    """A plan says so before anything is touched; where the engine tells no limit, the program sees."""
    limited = container().model_copy(update={"cpus": 1.5, "memory": 64 << 20})
    assert "".join(each.why for each in fault(**fields).plan([limited]).untouched) == why
    assert fault(**fields).plan([container()]).untouched == ()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"type": "cpu_limit", "cpus": "2"}, "runs on a machine with 2 CPUs as it is: 2 would limit nothing"),
        ({"type": "cpu_limit", "cpus": "1.9"}, ""),
        (
            {"type": "memory_limit", "limit": "1g"},
            "runs on a machine with 1073741824 bytes as it is: 1073741824 would limit nothing",
        ),
        ({"type": "memory_limit", "limit": "1023m"}, ""),
    ],
)
def test_what_the_machine_does_not_have_is_no_limit(fields: dict[str, object], why: str) -> None:
    """Where the engine tells how large its machine is, a plan says so."""
    engine = EngineInfo(id="E", endpoint="unix:///e", version="29", api_version="1.50", cpus=2, memory=1 << 30)
    planned = fault(**fields).plan([container()], Surroundings(engine=engine))
    assert "".join(each.why for each in planned.untouched) == why


def test_what_is_changed_by_somebody_else_is_set_anew_where_that_is_asked_for() -> None:
    """As after a restart."""
    (target,) = fault(type="pid_exhaustion", on_target_restart="reapply").plan([container()]).targets
    assert target.inject.argv[-3:] == ("reapply", MARK, "c" * 64)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": "cpu_limit"}, "cpus"),
        ({"type": "cpu_limit", "cpus": "0"}, "greater than 0"),
        ({"type": "cpu_limit", "cpus": "nan"}, "finite|greater"),
        ({"type": "cpu_limit", "cpus": "-1"}, "greater than 0"),
        ({"type": "memory_limit", "limit": "64"}, "did you mean 64m"),
        ({"type": "memory_limit", "limit": "1m"}, "at least 6m"),
        ({"type": "pid_exhaustion", "leave": "-1"}, "greater than or equal to 0"),
        ({"type": "pid_exhaustion", "leave": "1.5"}, "integer"),
    ],
)
def test_what_is_no_limit_is_refused(fields: dict[str, object], says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValidationError, match=says):
        fault(**fields)
