"""Reports and their one line."""

from __future__ import annotations

from coordinator.supervision import Report, ReportKind, format_report
from coordinator.supervision.reports import offender
from tests.unit.supervision.desk import child


def test_a_report_names_everything() -> None:
    """A report carries supervisor, kind, reason and all that defines its child, in plain values."""
    about = offender(child("a"), "root/a", incarnation=3, restarts=2)
    report = Report(ReportKind.START_ERROR, "root", "OSError: in\nuse", "", about)
    assert (about.restart, about.kind, about.stop_timeout_s) == ("permanent", "worker", 5.0)
    assert format_report(report) == (
        "start_error supervisor=root child=root/a incarnation=3 restarts=2 restart=permanent kind=worker "
        "reason=OSError: in use"
    )
    assert format_report(report, limit=10) == "start_err…"
