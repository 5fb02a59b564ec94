"""How a supervisor ended, told as an error."""

from __future__ import annotations

import pytest

from coordinator.supervision import Escalated, StartFailed
from coordinator.supervision.outcome import Outcome, OutcomeKind


@pytest.mark.parametrize("kind", [OutcomeKind.STOPPED, OutcomeKind.AUTO_SHUTDOWN])
def test_clean_ends_raise_nothing(kind: OutcomeKind) -> None:
    """A stop that was asked for and an automatic one are clean."""
    assert Outcome(kind, "enough").error("root") is None


def test_each_other_end_has_its_type() -> None:
    """Escalation, a failed start and a wish to quit cannot be taken for each other."""
    escalated = Outcome(OutcomeKind.ESCALATED, "too often", "root/a", history=("x",)).error("root")
    assert isinstance(escalated, Escalated)
    assert escalated.history == ("x",)
    assert isinstance(Outcome(OutcomeKind.START_FAILED, "OSError", "root/a").error("root"), StartFailed)
    quit_ = Outcome(OutcomeKind.QUIT, "SystemExit: 75", code=75).error("root")
    assert isinstance(quit_, SystemExit)
    assert quit_.code == 75
    assert isinstance(Outcome(OutcomeKind.QUIT, "", interrupted=True).error("root"), KeyboardInterrupt)
