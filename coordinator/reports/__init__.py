"""Reports: a finished execution as JSON and as Markdown. Pure: everything they say is in the record."""

from coordinator.reports.document import as_json, document, parse_report
from coordinator.reports.markdown import as_markdown

__all__ = ["as_json", "as_markdown", "document", "parse_report"]
