"""Supervision of concurrent parts of one process: OTP's semantics, Python's realities. Logs nothing, owns no signals.

See docs/explanation/supervision.md. Readable alone: it imports nothing else of this project.
"""

from coordinator.supervision.backoff import IMMEDIATE, Backoff
from coordinator.supervision.errors import (
    ChildRefused,
    Declined,
    DeliberateStop,
    Escalated,
    Refusal,
    SpecError,
    StartFailed,
    SupervisionError,
)
from coordinator.supervision.health import Health, health
from coordinator.supervision.reports import Offender, Report, ReportKind, format_report
from coordinator.supervision.runtime import Supervisor
from coordinator.supervision.spec import AutoShutdown, ChildContext, ChildSpec, Restart, Strategy, SupervisorSpec
from coordinator.supervision.view import ChildState, ChildView, Counts, Snapshot, count_children

__all__ = [
    "IMMEDIATE",
    "AutoShutdown",
    "Backoff",
    "ChildContext",
    "ChildRefused",
    "ChildSpec",
    "ChildState",
    "ChildView",
    "Counts",
    "Declined",
    "DeliberateStop",
    "Escalated",
    "Health",
    "Offender",
    "Refusal",
    "Report",
    "ReportKind",
    "Restart",
    "Snapshot",
    "SpecError",
    "StartFailed",
    "Strategy",
    "SupervisionError",
    "Supervisor",
    "SupervisorSpec",
    "count_children",
    "format_report",
    "health",
]
