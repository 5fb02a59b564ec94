"""Load inside a container's limits: what is started, how it ends, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from coordinator.faults.commands import FAULT, MARK, STRESS_PROGRAM
from coordinator.faults.looks import Succeeded
from tests.unit.faults.test_limits import container, fault


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"type": "cpu_stress"}, ("cpu", "1x100")),
        ({"type": "cpu_stress", "workers": "3", "load": "12.5%"}, ("cpu", "3x12.5")),
        ({"type": "memory_stress", "size": "64m"}, ("memory", "67108864")),
        ({"type": "memory_stress", "percent": "50%"}, ("memory", "50%")),
        ({"type": "memory_stress", "size": "50%"}, ("memory", "50%")),
    ],
)
def test_a_helper_starts_it_and_ends_it(fields: dict[str, object], asked: tuple[str, str]) -> None:
    """With the mark that holds its deadline, under the fault's id; without capabilities or network."""
    (target,) = fault(**fields).plan([container()]).filled({FAULT: "f-1", MARK: "expires=7"}).targets

    program = target.inject.argv.index(STRESS_PROGRAM)
    assert target.inject.argv[program + 1 :] == ("put", "f-1", *asked, "expires=7", "c" * 64)
    assert target.undo is not None
    assert target.undo.command.argv[program + 1 :] == ("remove", "f-1", "c" * 64)
    assert {"--privileged", "--cap-add"}.isdisjoint(target.inject.argv)
    assert target.effect == Succeeded()
    assert target.undo.any_run


@pytest.mark.parametrize("state", ["exited", "paused"])
def test_what_does_not_run_is_left_alone(state: str) -> None:
    """It is named with its state."""
    plan = fault(type="cpu_stress").plan([container(state)])
    assert plan.targets == ()
    assert plan.untouched[0].why == f"is {state}, not running: left alone"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": "cpu_stress", "load": "0%"}, "greater than 0"),
        ({"type": "cpu_stress", "load": "101%"}, "from 0% to 100%"),
        ({"type": "cpu_stress", "load": "-5%"}, "from 0% to 100%"),
        ({"type": "cpu_stress", "workers": "0"}, "greater than or equal to 1"),
        ({"type": "cpu_stress", "workers": "65"}, "less than or equal to 64"),
        ({"type": "memory_stress"}, "size or percent: one of them is due"),
        ({"type": "memory_stress", "size": "64m", "percent": "5%"}, "size or percent: one of them is due"),
        ({"type": "memory_stress", "size": "64"}, "did you mean 64m"),
        ({"type": "memory_stress", "size": "1k"}, "at least 1m"),
        ({"type": "memory_stress", "percent": "0%"}, "greater than 0"),
        ({"type": "memory_stress", "size": "0%"}, "more than 0%"),
        ({"type": "memory_stress", "size": "101%"}, "from 0% to 100%"),
        ({"type": "memory_stress", "size": "x"}, "like 64k, 512m or 1g, or a share like 80%"),
    ],
)
def test_what_is_no_load_is_refused(fields: dict[str, object], says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValidationError, match=says):
        fault(**fields)
