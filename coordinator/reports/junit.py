"""The report as JUnit XML, in the form that GitHub's reporters and GitLab read: a suite for the execution, a case for
the steady state, each assertion and the undo, and one for a verdict that none of these explains. An execution that did
not pass never has only green cases.

`failure` is a claim that did not hold; `error` is what kept the execution from telling, or is left broken; `skipped`
was not reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from coordinator.plain_text import harmless, one_line
from coordinator.record import AssertionResult, Execution, ExecutionState, Report, UndoState, Verdict, stamp
from coordinator.reports.spans import offset, phases
from coordinator.reports.wording import again, headline, left_broken, undo_sentence, warnings

_STEADY: Final = "steady_state"
"""How the phase of an assertion on the steady state begins."""


class Case(NamedTuple):
    """A testcase. `kind` is failure, error, skipped or empty; `message` says why in a line, `details` in all."""

    name: str
    kind: str = ""
    type: str = ""
    message: str = ""
    details: str = ""
    took_s: float = 0.0


def as_junit(report: Report) -> str:
    """The whole document, ending with a newline."""
    execution = report.execution
    cases = tuple(_cases(report))
    counts = {"tests": str(len(cases))}
    counts |= {
        name: str(sum(case.kind == kind for case in cases))
        for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    time = f"{_took(execution):.3f}"
    root = ET.Element("testsuites", {"name": "test-coordinator", **counts, "time": time})
    begun = execution.started_at or execution.created_at
    suite = ET.SubElement(
        root, "testsuite", {"name": one_line(execution.scenario), **counts, "time": time, "timestamp": stamp(begun)}
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(execution):
        ET.SubElement(properties, "property", {"name": one_line(name), "value": one_line(value)})
    for case in cases:
        _add(suite, case, execution.scenario)
    ET.SubElement(suite, "system-out").text = harmless(_events(execution))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


# ---------------------------------------------------------------- cases


def _cases(report: Report) -> Iterator[Case]:
    execution = report.execution
    steady = [result for result in execution.assertions if result.phase.startswith(_STEADY)]
    if steady:
        yield _steady_state(steady, _before_phases(execution))
    elif not any(entry.event == "phase_started" for entry in execution.timeline):
        yield Case("steady state", "skipped", message="the execution did not come that far")
    for result in execution.assertions:
        if result not in steady:
            yield _assertion(result)
    if not _explained(execution):
        yield _verdict(execution)
    yield _undo(report)


def _steady_state(results: list[AssertionResult], took_s: float) -> Case:
    failed = [result for result in results if not result.passed]
    if not failed:
        return Case("steady state", took_s=took_s)
    details = "\n".join(map(_claim, failed))
    return Case("steady state", "failure", "steady_state", "steady state not met", details, took_s)


def _assertion(result: AssertionResult) -> Case:
    name = f"{result.phase}: {result.on} {result.metric} {result.expected}"
    if result.passed:
        return Case(name)
    message = f"expected {result.expected}, actual {result.actual}"
    return Case(name, "failure", result.metric, message, _claim(result))


def _claim(result: AssertionResult) -> str:
    return (
        f"phase: {result.phase}\non: {result.on}\nmetric: {result.metric}\n"
        f"expected: {result.expected}\nactual: {result.actual}"
    )


def _explained(execution: Execution) -> bool:
    """Whether the other cases say why the verdict is what it is."""
    if execution.verdict is Verdict.PASSED:
        return True
    return execution.verdict is Verdict.FAILED and not all(result.passed for result in execution.assertions)


def _verdict(execution: Execution) -> Case:
    told = headline(execution)
    reason = execution.reason or told.sentence
    if execution.verdict is None:
        return Case("verdict", "skipped", message=f"not finished: {execution.state.value}")
    kind = "failure" if execution.verdict is Verdict.FAILED else "error"
    return Case("verdict", kind, execution.verdict.value, reason, f"{told.title}. {told.sentence}\n{reason}")


def _undo(report: Report) -> Case:
    execution = report.execution
    sentence = undo_sentence(execution)
    if execution.undo is UndoState.NONE:
        return Case("undo", "skipped", message=sentence)
    if execution.undo is UndoState.COMPLETE:
        return Case("undo")
    if execution.undo is UndoState.PENDING and execution.state is not ExecutionState.FINISHED:
        return Case("undo", "skipped", message=sentence)
    return Case("undo", "error", execution.undo.value, f"{sentence} Run:", "\n".join(left_broken(report)))


def _add(suite: ET.Element, case: Case, scenario: str) -> None:
    added = ET.SubElement(
        suite,
        "testcase",
        {"classname": one_line(scenario), "name": one_line(case.name), "time": f"{case.took_s:.3f}"},
    )
    if case.kind:
        attributes = {"message": one_line(case.message)}
        attributes |= {"type": one_line(case.type)} if case.type else {}
        ET.SubElement(added, case.kind, attributes).text = harmless(case.details) or None


# ---------------------------------------------------------------- times and words


def _took(execution: Execution) -> float:
    return max(0.0, offset(execution, execution.finished_at) or 0.0)


def _before_phases(execution: Execution) -> float:
    """Seconds from the start to the first phase, or to the end of one that had none."""
    first = min((span.start_s for span in phases(execution)), default=None)
    return _took(execution) if first is None else first


def _properties(execution: Execution) -> Iterator[tuple[str, str]]:
    yield "execution", execution.id
    yield "verdict", execution.verdict.value if execution.verdict is not None else f"none ({execution.state.value})"
    if execution.reason:
        yield "reason", execution.reason
    for text in warnings(execution):
        yield "warning", text
    yield "undo", execution.undo.value
    yield "plan", execution.plan_hash or "none"
    yield "seed", str(execution.seed)
    for name, value in execution.variables.items():
        yield f"variable.{name}", value
    for name, chosen in execution.targets.items():
        yield f"target.{name}", ", ".join(one.name for one in chosen)
    environment = execution.environment
    if environment is not None:
        yield "instance", environment.instance
        yield "version", environment.version
        yield "environment", environment.environment
    if environment is not None and environment.engine is not None:
        yield "engine", f"{environment.engine.version} {environment.engine.id}"
    yield "again", again(execution)


def _events(execution: Execution) -> str:
    """What happened, a line an event."""
    lines = (
        (f"{entry.offset_s:.3f} s", entry.phase, entry.event.replace("_", " "), entry.target, entry.text)
        for entry in execution.timeline
    )
    return "\n".join("  ".join(one_line(part) for part in line if part) for line in lines)
