import json
import math

import pytest

from coordinator.record import Execution, ExecutionState, Report, Sample, Series
from coordinator.reports import as_json, document, parse_report
from tests.unit.cli import played

REPORT = played.report(played.execution(), (played.UNDO,))


def test_the_document_is_the_execution_with_probes_and_what_is_broken() -> None:
    """The report object has exactly an execution's fields, `probes` and `left_broken`."""
    fields = set(Execution.model_fields) - {"progress"}
    body = document(REPORT)
    assert set(body) == fields | {"probes", "left_broken"}
    assert body["left_broken"] == [played.UNDO]
    assert (body["verdict"], body["undo"], body["created_at"]) == ("passed", "complete", "2026-01-02T03:04:05.678Z")


def test_samples_are_lists_of_four() -> None:
    """A sample is [offset_s, ok, latency_s, value], nothing left out."""
    probes = json.loads(as_json(REPORT))["probes"]
    assert probes["api"]["samples"][3:5] == [[3.0, True, 0.04, 200.0], [4.0, False, None, 200.0]]


def test_faults_have_the_names_of_the_api() -> None:
    """A fault's class is called `class`."""
    assert json.loads(as_json(REPORT))["faults"][0]["class"] == "journal"


@pytest.mark.parametrize(
    "report", [REPORT, Report(execution=played.queued()), played.report(played.execution(ExecutionState.UNDOING))]
)
def test_a_report_read_back_is_the_same(report: Report) -> None:
    """Nothing is lost or changed between writing and reading, but the progress of one that still runs."""
    again = parse_report(as_json(report))
    assert again == report.model_copy(update={"execution": report.execution.model_copy(update={"progress": None})})


def test_text_and_document_are_the_same_object() -> None:
    """The text is the document, in valid JSON."""
    assert json.loads(as_json(REPORT)) == document(REPORT)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_values_that_json_has_no_number_for(value: float) -> None:
    """An infinite value, or none, read by a probe, becomes text: the report stays valid JSON."""
    series = Series(probe="p", samples=(Sample(0.0, ok=True, latency_s=0.1, value=value),))
    report = Report(execution=played.execution(), probes={"p": series})
    assert json.loads(as_json(report), parse_constant=pytest.fail)["probes"]["p"]["samples"][0][3] == str(value)


@pytest.mark.parametrize("text", ["[]", "{}", "no json", '{"probes": 3}'])
def test_anything_else_is_refused(text: str) -> None:
    """What is no report raises ValueError."""
    with pytest.raises(ValueError, match="validation error"):
        parse_report(text)
