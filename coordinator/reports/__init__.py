"""Reports: a finished, killed or running execution as HTML, JSON, JUnit XML and Markdown. Pure: everything they say is
in the record.
"""

from coordinator.reports.document import as_json, document, parse_report
from coordinator.reports.formats import FORMATS, Format
from coordinator.reports.junit import as_junit
from coordinator.reports.markdown import as_markdown

__all__ = ["FORMATS", "Format", "as_json", "as_junit", "as_markdown", "document", "parse_report"]
