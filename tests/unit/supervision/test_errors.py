"""What supervision raises reads as a sentence."""

from __future__ import annotations

from coordinator.supervision import ChildRefused, Escalated, Refusal, StartFailed


def test_refusals_read_as_sentences() -> None:
    """A refusal names the child, what is the matter, and the cause where there is one."""
    assert str(ChildRefused("root/a", Refusal.RUNNING)) == "child root/a is already running"
    told = str(ChildRefused("root/a", Refusal.START_FAILED, "OSError: in use"))
    assert told == "child root/a did not start: OSError: in use"


def test_escalation_tells_its_history() -> None:
    """An escalation names supervisor, child and reason, and the latest ends below."""
    error = Escalated("root", "root/a", "more than 1 restarts in 5 s", ("root/a#1: boom", "root/a#2: boom"))
    assert str(error).splitlines() == [
        "supervisor root gave up on child root/a: more than 1 restarts in 5 s",
        "  root/a#1: boom",
        "  root/a#2: boom",
    ]


def test_a_failed_start_tells_its_stack() -> None:
    """A failed start names supervisor, child and cause, and the cause's stack below; without one it is one line."""
    assert str(StartFailed("root", "root/a", "OSError: x", "OSError: x\n  a.py:1 in b")).splitlines() == [
        "supervisor root did not start: child root/a: OSError: x",
        "OSError: x",
        "  a.py:1 in b",
    ]
    assert "\n" not in str(StartFailed("root", "root/a", "OSError: x"))
