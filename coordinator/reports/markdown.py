"""The report as Markdown for people: the verdict first, then what was done to whom, what was seen, how it was undone.
Text from scenarios and engines is shown as text, never as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from coordinator.plain_text import harmless, one_line
from coordinator.record import ENDED, Execution, Fault, Report, TimelineEntry, stamp
from coordinator.reports.figures import figures, recoveries, seconds
from coordinator.reports.spans import phases
from coordinator.reports.wording import again, headline, left_broken, undo_sentence, warnings

_MARKUP = re.compile(r"([\\`*_\[\]<>|#&~])")
_LIST_OR_RULE = re.compile(r"[-+](?=[-\s]|$)|\d+(?=[.)](?:\s|$))")
_TICKS = re.compile(r"`+")


def as_markdown(report: Report) -> str:
    """The whole report, ending with a newline."""
    execution = report.execution
    sections = (
        _head(report),
        _left_broken(left_broken(report)),
        _phases(execution),
        _faults(execution),
        _assertions(execution),
        _probes(report),
        _timeline(execution.timeline),
        _commands(execution.faults),
        _environment(execution),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(report: Report) -> str:
    execution = report.execution
    verdict = execution.verdict.value if execution.verdict else f"not finished ({execution.state.value})"
    lines = [f"# {_text(execution.scenario)}: {verdict}", ""]
    if execution.reason:
        lines += [_text(execution.reason), ""]
    lines += [headline(execution).sentence, ""]
    for warning in warnings(execution):
        lines += [f"**Warning:** {_text(warning)}", ""]
    facts = [
        ("Execution", _code(execution.id)),
        ("Undo", f"{execution.undo.value}: {undo_sentence(execution)}"),
    ]
    facts += [
        (f"Recovery of {_text(result.on)} ({_text(result.phase)})", _text(result.actual))
        for result in recoveries(execution)
    ]
    if execution.started_at and execution.finished_at:
        facts.append(("Took", seconds((execution.finished_at - execution.started_at).total_seconds())))
    return "\n".join(lines + [f"- {name}: {value}" for name, value in facts])


def _left_broken(commands: Sequence[str]) -> str:
    if not commands:
        return ""
    return "## Left broken\n\nSomething could not be put back. Run these commands:\n\n" + _block(commands)


def _phases(execution: Execution) -> str:
    """The phases as the timeline names them, with the span from their first to their last event."""
    rows = []
    for span in phases(execution):
        judged = [result.passed for result in execution.assertions if result.phase == span.name]
        faults = [fault.type for fault in execution.faults if fault.phase == span.name]
        held = f"{sum(judged)} of {len(judged)}" if judged else "-"
        rows.append(
            (_text(span.name), seconds(span.start_s), seconds(span.end_s), _text(", ".join(faults)) or "-", held)
        )
    return _section("Phases", ("phase", "first event", "last event", "faults", "assertions held"), rows)


def _faults(execution: Execution) -> str:
    """One row per target of a fault; times count from the execution's start."""

    def offset(at: datetime | None) -> str:
        if at is None or execution.started_at is None:
            return "-"
        return f"{(at - execution.started_at).total_seconds():.3f} s"

    rows = []
    for fault in execution.faults:
        head = (_text(fault.type), fault.fault_class.value, _text(fault.phase), fault.state.value)
        for target in fault.targets:
            delay = "-"
            if fault.due_at and target.effective_at:
                delay = seconds((target.effective_at - fault.due_at).total_seconds())
            times = (offset(fault.due_at), offset(target.effective_at), delay, offset(target.undone_at))
            rows.append((*head, _text(target.name), *times, _text(target.outcome) or "-"))
        if not fault.targets:
            rows.append((*head, _text(fault.target), offset(fault.due_at), "-", "-", offset(fault.undone_at), "-"))
    names = ("fault", "class", "phase", "state", "container", "due", "effect", "due to effect", "undone", "outcome")
    return _section("Faults", names, rows)


def _assertions(execution: Execution) -> str:
    rows = [
        ("passed" if result.passed else "**failed**", _text(result.phase), _text(result.on), _text(result.metric),
         _text(result.expected), _text(result.actual))
        for result in execution.assertions
    ]  # fmt: skip
    return _section("Assertions", ("", "phase", "on", "metric", "expected", "actual"), rows)


def _probes(report: Report) -> str:
    rows = []
    for name, series in report.probes.items():
        fold = figures(series.samples)
        availability = "no data" if fold.availability is None else f"{fold.availability:.2f} %"
        counts = (str(fold.samples), str(fold.samples - fold.good))
        latencies = (seconds(fold.p50_s), seconds(fold.p95_s), seconds(fold.max_s))
        rows.append(
            (_text(name), availability, *counts, *latencies, seconds(fold.first_bad_s), seconds(fold.last_bad_s))
        )
    names = ("probe", "availability", "samples", "bad", "p50", "p95", "slowest", "first bad", "last bad")
    return _section("Probes", names, rows)


def _timeline(entries: Sequence[TimelineEntry]) -> str:
    rows = [
        (f"{entry.offset_s:.3f} s", _text(entry.phase or "") or "-", _text(entry.event),
         _text(entry.target or "") or "-", _text(entry.text) or "-")
        for entry in entries
    ]  # fmt: skip
    return _section("Timeline", ("time", "phase", "event", "target", ""), rows)


def _commands(faults: Sequence[Fault]) -> str:
    """The commands that injected, and those that undo as they were recorded before anything was injected."""
    parts = []
    for fault in faults:
        owed = "undone" if fault.state in ENDED else "undo still owed"
        shown = [
            f"{word}:\n\n{_block(commands)}"
            for word, commands in (("inject", fault.inject_commands), ("undo", fault.undo_commands))
            if commands
        ]
        if shown:
            parts += [f"{_text(fault.type)} on {_text(fault.target)} ({owed})", *shown]
    return "\n\n".join(["## Commands", *parts]) if parts else ""


def _environment(execution: Execution) -> str:
    targets = [
        (_text(name), ", ".join(_text(container.name) for container in containers) or "none")
        for name, containers in execution.targets.items()
    ]
    times = [
        (name, stamp(at))
        for name, at in (
            ("accepted", execution.created_at),
            ("started", execution.started_at),
            ("finished", execution.finished_at),
        )
        if at is not None
    ]
    lines = ["## Environment", "", *(f"- {name}: {_text(value)}" for name, value in _surroundings(execution))]
    lines += [f"- target {name}: {value}" for name, value in targets]
    lines += [f"- {name}: {value}" for name, value in times]
    lines.append(f"- plan: {_code(execution.plan_hash) if execution.plan_hash else 'none'}")
    lines.append(f"- seed: {execution.seed}")
    lines += [f"- variable {_text(name)}: {_text(value)}" for name, value in execution.variables.items()]
    which = f"- again ({_code(execution.scenario)} is built in, or else stands for its file):"
    return "\n".join([*lines, which, "", _block([again(execution)])])


def _surroundings(execution: Execution) -> Iterator[tuple[str, str]]:
    environment = execution.environment
    if environment is not None:
        yield "instance", f"{environment.instance} {environment.version}, {environment.environment}"
        if environment.engine is not None:
            engine = environment.engine
            yield "engine", f"Docker {engine.version}, {engine.id}"
            yield "host", ", ".join(part for part in (engine.operating_system, engine.kernel) if part)


def _section(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"## {title}", "", f"| {' | '.join(names)} |", "| --- " * len(names) + "|", *lines])


def _text(value: str) -> str:
    """Text that no Markdown reader takes for markup, on one line."""
    line = _MARKUP.sub(r"\\\1", one_line(value))
    begun = _LIST_OR_RULE.match(line)
    if begun is None:
        return line
    mark = begun[0]
    return f"{mark}\\{line[len(mark) :]}" if mark.isdigit() else f"\\{line}"


def _fence(text: str, least: int) -> str:
    """A row of backticks longer than any in the text."""
    return "`" * max([least, *(len(ticks) + 1 for ticks in _TICKS.findall(text))])


def _code(value: str) -> str:
    value = one_line(value)
    ticks = _fence(value, 1)
    # A reader takes one space off again; without it a backtick of the text would lengthen the row.
    space = " " if "`" in value else ""
    return f"{ticks}{space}{value}{space}{ticks}"


def _block(lines: Sequence[str]) -> str:
    text = harmless("\n".join(lines))
    ticks = _fence(text, 3)
    return f"{ticks}sh\n{text}\n{ticks}"
