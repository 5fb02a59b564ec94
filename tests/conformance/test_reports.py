"""OTP's cases about formatting reports: 87 and 88."""

from __future__ import annotations

import pytest

from coordinator.supervision import ReportKind, SupervisorSpec, format_report
from tests.conformance.rows import row
from tests.conformance.stage import Stage

pytestmark = pytest.mark.anyio


def _deep(levels: int) -> ValueError:
    """An error that was raised deep down."""
    try:
        _raise(levels)
    except ValueError as error:
        return error
    raise AssertionError("it did not raise")


def _raise(levels: int) -> None:
    if levels:
        _raise(levels - 1)
    raise ValueError("at the bottom")


@row("87")
async def test_format_log_1(stage: Stage) -> None:
    """However deep the stack of a crash is, a report keeps its innermost frames only, and text instead of objects."""
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))) as play:
        await play.crash("a", _deep(200))
    report = next(report for report in stage.reports if report.kind is ReportKind.CHILD_TERMINATED)
    assert report.detail.count("\n") == 8
    assert "in _raise" in report.detail
    assert report.detail.startswith("ValueError: at the bottom")


@row("88")
async def test_format_log_2(stage: Stage) -> None:
    """A report is one line of limited length that names supervisor, child, life, class, kind and reason."""
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))) as play:
        await play.crash("a", ValueError("two\nlines " + "x" * 10_000))
    report = next(report for report in stage.reports if report.kind is ReportKind.CHILD_TERMINATED)
    line = format_report(report)
    assert "\n" not in line
    assert line.startswith(
        "child_terminated supervisor=root child=root/a incarnation=1 restarts=0 restart=permanent kind=worker "
        "reason=ValueError: two lines x"
    )
    assert len(line) < 500
    assert len(format_report(report, limit=50)) == 50
