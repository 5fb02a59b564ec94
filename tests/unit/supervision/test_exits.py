"""What an end means."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from coordinator.supervision import Declined, DeliberateStop, Escalated, StartFailed
from coordinator.supervision.exits import RETURNED, STOPPED, Exit, ExitKind, classify, describe, suspended_at


class Cancelled(BaseException):
    """Stands for the event loop's cancellation."""


def end(error: BaseException | None, *, asked: bool = False) -> Exit:
    """Classify."""
    return classify(error, asked=asked, cancelled=Cancelled, quarantine_on=(KeyError,))


@pytest.mark.parametrize(
    ("error", "asked", "kind"),
    [
        (None, False, ExitKind.NORMAL),
        (None, True, ExitKind.STOPPED),
        (Cancelled(), True, ExitKind.STOPPED),
        (Cancelled(), False, ExitKind.CRASH),
        (ValueError(), False, ExitKind.CRASH),
        (ValueError(), True, ExitKind.STOP_ERROR),
        (DeliberateStop(), False, ExitKind.SHUTDOWN),
        (DeliberateStop(), True, ExitKind.STOPPED),
        (Declined(), False, ExitKind.DECLINED),
        (SystemExit(3), False, ExitKind.QUIT),
        (SystemExit(3), True, ExitKind.QUIT),
        (KeyboardInterrupt(), False, ExitKind.QUIT),
        (BaseExceptionGroup("g", [Cancelled(), DeliberateStop()]), False, ExitKind.CRASH),
        (BaseExceptionGroup("g", [Cancelled(), ValueError()]), True, ExitKind.STOP_ERROR),
        (BaseExceptionGroup("g", [Cancelled(), Cancelled()]), True, ExitKind.STOPPED),
        (ExceptionGroup("g", [DeliberateStop(), DeliberateStop()]), False, ExitKind.SHUTDOWN),
        (BaseExceptionGroup("g", [ValueError(), SystemExit(4)]), False, ExitKind.QUIT),
        (StartFailed("root/s", "root/s/a", "OSError: in use"), False, ExitKind.CRASH),
    ],
)
def test_kinds(error: BaseException | None, asked: bool, kind: ExitKind) -> None:
    """Ends are told apart by the leaves of what was raised and by whether they were asked for."""
    assert end(error, asked=asked).kind is kind


def test_returns_share_their_exit() -> None:
    """The two plainest ends are constants."""
    assert end(None) is RETURNED
    assert end(None, asked=True) is STOPPED


def test_codes_are_kept() -> None:
    """An exit code, a message instead of one, and an interrupt are all kept."""
    assert end(SystemExit(75)).code == 75
    assert end(SystemExit("bye")).code == "bye"
    assert end(KeyboardInterrupt()).interrupted


def test_hopeless_leaves() -> None:
    """One leaf that no restart can mend makes the whole end hopeless, subclasses included."""
    assert end(ExceptionGroup("g", [ValueError(), KeyError("x")])).hopeless
    assert not end(ValueError()).hopeless


def test_text_of_a_chain() -> None:
    """The stack names each error of a chain and where it was raised."""

    def fail() -> None:
        try:
            int("x")
        except ValueError as error:
            raise RuntimeError("cannot configure") from error

    with pytest.raises(RuntimeError) as raised:
        fail()
    told = end(raised.value)
    assert told.reason == "RuntimeError: cannot configure"
    assert "caused by ValueError: invalid literal" in told.detail
    assert "in test_text_of_a_chain.<locals>.fail" in told.detail


def test_long_and_broken_messages() -> None:
    """A message is one line of limited length, and one that cannot be read hurts nobody."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert describe(Broken()) == "Broken: (its message cannot be read: ZeroDivisionError)"
    assert len(describe(ValueError("x\n" * 10_000))) < 400
    assert describe(ValueError()) == "ValueError"


def test_supervisors_pass_the_root_cause_on() -> None:
    """However many supervisors a failed start passes, its root cause is told once; escalations name their child."""
    inner = StartFailed("root/a/b", "root/a/b/c", "OSError: in use", "its stack")
    outer = StartFailed("root/a", "root/a/b", describe(inner), end(inner).detail)
    assert describe(outer) == "StartFailed: child root/a/b/c: OSError: in use"
    assert outer.detail == "its stack"
    assert describe(Escalated("root/a", "root/a/b", "more than 1")) == "Escalated: child root/a/b: more than 1"


async def _outer() -> None:
    await _inner()


async def _inner() -> None:
    class Forever:
        def __await__(self) -> Generator[None, None, None]:
            yield

    await Forever()


def test_where_a_coroutine_waits() -> None:
    """The outermost and the innermost place are told; what is no coroutine waits at an unknown place."""
    coroutine = _outer()
    coroutine.send(None)
    told = suspended_at(coroutine)
    assert "in _outer" in told
    assert "__await__" in told
    coroutine.close()
    assert suspended_at(object()) == "waiting at an unknown place"
