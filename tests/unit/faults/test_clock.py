"""Another clock inside a container: what a helper is asked, how it is undone, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from coordinator.faults.clock import CLOCK_PROGRAM
from coordinator.faults.commands import FAULT, MARK
from coordinator.faults.looks import Succeeded
from tests.unit.faults.test_limits import container, fault


@pytest.mark.parametrize(
    ("offset", "asked"),
    [("1h", "3600000000000"), ("+250ms", "250000000"), ("-1.5m", "-90000000000"), ("-438000h", "-1576800000000000000")],
)
def test_a_helper_skews_it_and_puts_it_back(offset: str, asked: str) -> None:
    """In nanoseconds, under the fault's id; the helper may trace others, and nothing more."""
    (target,) = fault(type="clock_skew", offset=offset).plan([container()]).filled({FAULT: "f-1", MARK: "m"}).targets

    program = target.inject.argv.index(CLOCK_PROGRAM)
    assert target.inject.argv[program + 1 :] == ("put", "f-1", "realtime", asked, "m", "c" * 64)
    assert target.undo is not None
    assert target.undo.command.argv[program + 1 :] == ("remove", "f-1", "c" * 64)
    rights = [word for word in target.inject.argv[:program] if word.replace("_", "").isalpha() and word.isupper()]
    assert rights == ["ALL", "SYS_PTRACE"]
    assert target.effect == Succeeded()


@pytest.mark.parametrize("state", ["exited", "paused"])
def test_what_does_not_run_is_left_alone(state: str) -> None:
    """It is named with its state."""
    plan = fault(type="clock_skew", offset="1h").plan([container(state)])
    assert (plan.targets, plan.untouched[0].why) == ((), f"is {state}, not running: left alone")


@pytest.mark.parametrize(
    ("offset", "says"),
    [
        ("3600", "a duration with its unit"),
        ("--1h", "a duration with its unit"),
        ("soon", "a duration with its unit"),
        ("0s", "at least 1ms, forward or back"),
        ("-0.1ms", "at least 1ms, forward or back"),
        ("438001h", "less than or equal to"),
        ("-438001h", "greater than or equal to"),
    ],
)
def test_what_is_no_offset_is_refused(offset: str, says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValidationError, match=says):
        fault(type="clock_skew", offset=offset)
