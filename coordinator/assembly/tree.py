"""Actors as children of the tree, and what the tree reports as Eliot messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from actors.contract import Actor
from coordinator.logging import Level, bind, log
from coordinator.supervision import Backoff, ChildContext, ChildSpec, Report, ReportKind

_LEVELS: Final[dict[ReportKind, Level]] = {
    ReportKind.PROGRESS: "INFO",
    ReportKind.START_ERROR: "ERROR",
    ReportKind.CHILD_TERMINATED: "ERROR",
    ReportKind.SHUTDOWN_ERROR: "ERROR",
    ReportKind.SHUTDOWN: "CRITICAL",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How many crashes the tree stands: more than `intensity` in `period_s` seconds end it. `backoff`: the delays."""

    intensity: int = 10
    period_s: float = 30.0
    backoff: Backoff = field(default_factory=Backoff)


def child(actor: Actor, patience: Patience, *, stop_timeout_s: float = 2.0) -> ChildSpec:
    """An actor as a child: its name, how much the process needs it, its messages bound to its place in the tree."""
    return ChildSpec(
        id=actor.name,
        start=partial(bound, actor.run),
        critical=actor.critical,
        stop_timeout_s=stop_timeout_s,
        cancel_timeout_s=2.0,
        backoff=patience.backoff,
    )


async def bound(body: Callable[[ChildContext], Awaitable[object]], life: ChildContext) -> None:
    """A body whose messages name its place in the tree."""
    with bind(actor=life.path):
        await body(life)


def tell(report: Report) -> None:
    """The five report kinds as messages of one shape, each a short task of its own."""
    who = report.offender
    with bind(actor=who.path):
        log(
            f"actor:{report.kind.value}",
            _LEVELS[report.kind],
            supervisor=report.supervisor,
            reason=report.reason,
            incarnation=who.incarnation,
            restarts=who.restarts,
            restart=who.restart,
            critical=who.critical,
            **({"detail": report.detail} if report.detail else {}),
        )
