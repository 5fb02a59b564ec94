"""The five things a supervisor reports, one shape for all. Where reports go is the caller's business."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from coordinator.supervision.spec import ChildSpec


class ReportKind(Enum):
    """What happened, in OTP's words."""

    PROGRESS = "progress"  # a child is ready
    START_ERROR = "start_error"  # a child did not become ready
    CHILD_TERMINATED = "child_terminated"  # a child ended by itself in a way that matters
    SHUTDOWN_ERROR = "shutdown_error"  # a child failed while it was being stopped, or was abandoned
    SHUTDOWN = "shutdown"  # over budget: the child is quarantined, or the supervisor gives up


@dataclass(frozen=True, slots=True)
class Offender:
    """The child that a report is about. Times are seconds."""

    id: str
    path: str
    incarnation: int
    restarts: int
    restart: str
    kind: str
    critical: bool
    start_timeout_s: float
    stop_timeout_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """One report: which supervisor, what, why in one line, the stack as text (or nothing), and about whom."""

    kind: ReportKind
    supervisor: str
    reason: str
    detail: str
    offender: Offender


def offender(spec: ChildSpec, path: str, incarnation: int, restarts: int) -> Offender:
    """Describe a child for a report."""
    return Offender(
        id=spec.id,
        path=path,
        incarnation=incarnation,
        restarts=restarts,
        restart=spec.restart.value,
        kind=spec.kind,
        critical=spec.critical,
        start_timeout_s=spec.start_timeout_s,
        stop_timeout_s=spec.stop_timeout_s,
    )


def format_report(report: Report, limit: int = 2000) -> str:
    """One line for a log or a terminal, cut at `limit` characters."""
    who = report.offender
    text = (
        f"{report.kind.value} supervisor={report.supervisor} child={who.path} incarnation={who.incarnation} "
        f"restarts={who.restarts} restart={who.restart} kind={who.kind} reason={report.reason}"
    )
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
