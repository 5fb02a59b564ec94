"""The formats that a report is written in: what each is called, sent as, and kept as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from coordinator.record import Report
from coordinator.reports.document import as_json
from coordinator.reports.junit import as_junit
from coordinator.reports.markdown import as_markdown


class Format(NamedTuple):
    """How a report is written, sent and kept. `suffix` ends a file's name."""

    media_type: str
    suffix: str
    render: Callable[[Report], str]


def _as_html(report: Report) -> str:
    # The template engine is loaded where somebody wants a page.
    from coordinator.reports.html import as_html

    return as_html(report)


FORMATS: Final[Mapping[str, Format]] = {
    "html": Format("text/html; charset=utf-8", "html", _as_html),
    "json": Format("application/json", "json", as_json),
    "junit": Format("application/xml; charset=utf-8", "junit.xml", as_junit),
    "markdown": Format("text/markdown; charset=utf-8", "md", as_markdown),
}
"""By the name that `format` takes everywhere."""
