"""The report as one HTML file that holds all it needs: no script, no link, nothing to load. The verdict stands first;
pictures have words beside them. Whatever others wrote is text in it, never markup.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from coordinator.plain_text import harmless, one_line
from coordinator.record import ENDED, Execution, Fault, Report, stamp
from coordinator.reports.chart import COLUMNS, Plot, Shade, bars, plot, shades, ticks
from coordinator.reports.figures import Figures, figures, recoveries, seconds
from coordinator.reports.spans import Span, Window, length, offset, phases, steady_states, windows
from coordinator.reports.wording import again, headline, left_broken, undo_sentence, warnings

_TEMPLATES: Final = files("coordinator.reports") / "templates"
MOST_LANES: Final = 40
TOLD: Final = 10
"""How many faults, and bad spans, are told in words beside a picture; the tables have them all."""
_NO_WIDTH: Final = 0.2
"""Per cent of the picture's width that every phase is given."""


class Badge(NamedTuple):
    """A cell that stands out; its text says it all, its `kind` only colours it."""

    text: str
    kind: str


Row = tuple[str | Badge, ...]


class Stretch(NamedTuple):
    """A phase in the picture; places are per cent of its width."""

    at: float
    width: float
    text: str


class Lane(NamedTuple):
    """What one kind of fault did to one container."""

    text: str
    bars: tuple[Shade, ...]


class ProbePicture(NamedTuple):
    """A probe's picture with its words."""

    name: str
    summary: str
    story: str
    plot: Plot


class CommandGroup(NamedTuple):
    """The commands of one fault."""

    title: str
    state: str
    inject: tuple[str, ...]
    undo: tuple[str, ...]


def as_html(report: Report) -> str:
    """The whole document, ending with a newline."""
    style, policy = _style()
    context = {"style": style, "policy": policy, "columns": COLUMNS}
    return _environment().get_template("report.html.jinja").render(context | _context(report)) + "\n"


def content_policy() -> str:
    """The Content-Security-Policy that the document carries, and that is to be sent with it: its own style, no more."""
    return _style()[1]


def colours() -> str:
    """The style sheet of colours alone, as custom properties for light and dark."""
    return (_TEMPLATES / "colours.css").read_text("utf-8")


@cache
def _style() -> tuple[Markup, str]:
    """The style sheet, which is ours, and the policy that allows exactly it."""
    text = "\n" + colours() + (_TEMPLATES / "report.css").read_text("utf-8")
    digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return Markup(text), policy  # noqa: S704  # a file of this package


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("coordinator.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
    )


def _finalized(value: object) -> object:
    return harmless(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _context(report: Report) -> dict[str, Any]:
    """What the template shows, all as text and numbers."""
    execution, length_s = report.execution, length(report)
    found = windows(execution)
    folds = {name: figures(series.samples) for name, series in report.probes.items()}
    lanes = _lanes(found, length_s)
    return {
        "execution": execution,
        "headline": headline(execution),
        "undo": undo_sentence(execution),
        "warnings": warnings(execution),
        "broken": left_broken(report),
        "facts": _facts(execution),
        "length": seconds(length_s),
        "ticks": ticks(length_s),
        "spans": [_stretch(span, length_s) for span in (*steady_states(execution), *phases(execution))],
        "lanes": lanes[:MOST_LANES],
        "lanes_left": len(lanes[MOST_LANES:]),
        "story": _story(execution, found),
        "shades": shades(found, length_s),
        "probes": [
            ProbePicture(name, _summary(folds[name]), _bad_spans(folds[name]), plot(s.samples, folds[name], length_s))
            for name, s in report.probes.items()
        ],
        "probe_names": ("probe", "available", "samples", "bad", "p50", "p95", "slowest", "first bad", "last bad"),
        "probe_rows": [_probe_row(name, fold) for name, fold in folds.items()],
        "assertions_held": _held(execution),
        "assertion_rows": _assertion_rows(execution),
        "fault_names": (
            "fault", "container", "phase", "class", "state", "due", "effect", "due to effect", "undone", "outcome",
        ),
        "fault_rows": [row for fault in execution.faults for row in _fault_rows(execution, fault)],
        "command_groups": [_commands(fault) for fault in execution.faults],
        "plan_rows": _plan_rows(execution),
        "again": again(execution),
        "environment_rows": _environment_rows(execution),
        "events": [
            (f"{entry.offset_s:.3f} s", entry.phase or "-", entry.event.replace("_", " "), entry.target or "-",
             entry.text or "-")
            for entry in execution.timeline
        ],
    }  # fmt: skip


def _facts(execution: Execution) -> list[tuple[str, str]]:
    facts = [
        (f"Recovery of {one_line(result.on)} ({one_line(result.phase)})", result.actual)
        for result in recoveries(execution)
    ]
    if execution.assertions:
        facts.append(("Assertions", _held(execution)))
    if execution.started_at is not None:
        facts.append(("Started", stamp(execution.started_at)))
    if execution.started_at is not None and execution.finished_at is not None:
        facts.append(("Took", seconds((execution.finished_at - execution.started_at).total_seconds())))
    if execution.environment is not None:
        facts.append(("Instance", execution.environment.instance))
    return [*facts, ("Execution", execution.id)]


def _held(execution: Execution) -> str:
    return f"{sum(result.passed for result in execution.assertions)} of {len(execution.assertions)} held"


# ---------------------------------------------------------------- pictures


def _stretch(span: Span, length_s: float) -> Stretch:
    begin = min(100.0, 100 * span.start_s / length_s)
    width = 100 * (span.end_s - span.start_s) / length_s
    return Stretch(round(begin, 3), round(min(100 - begin, max(_NO_WIDTH, width)), 3), one_line(span.name))


def _lanes(found: tuple[Window, ...], length_s: float) -> list[Lane]:
    """One for each kind of fault on each container, however often it came."""
    lanes: dict[str, list[Window]] = {}
    for window in found:
        lanes.setdefault(window.label, []).append(window)
    return [
        Lane(one_line(label) + _remark(group, length_s), tuple(bar for one in group for bar in bars(one, length_s)))
        for label, group in lanes.items()
    ]


def _remark(group: list[Window], length_s: float) -> str:
    """What the bars of a lane cannot show."""
    if all(window.effect_s is None for window in group):
        return ": no effect seen"
    if any(window.owes for window in group):
        return ": not undone"
    late = [window.undone_s for window in group if window.undone_s is not None and window.undone_s > length_s]
    return f": undone after {seconds(max(late))}" if late else ""


def _story(execution: Execution, found: tuple[Window, ...]) -> str:
    """The picture of phases and faults in words."""
    told = [f"Phase {span.name} from {seconds(span.start_s)} to {seconds(span.end_s)}." for span in phases(execution)]
    told += [
        f"{window.label}: due at {seconds(window.due_s)}, seen at {seconds(window.effect_s)}, "
        f"undone at {seconds(window.undone_s)}."
        for window in found[:TOLD]
    ]
    if len(found) > TOLD:
        told.append(f"{len(found) - TOLD} more are in the table of faults.")
    return " ".join(told)


def _summary(fold: Figures) -> str:
    if fold.availability is None:
        return "has no samples"
    text = f"{_per_cent(fold.availability)} available, {fold.samples - fold.good} of {fold.samples} samples bad"
    return text if fold.p50_s is None else f"{text}, p50 {seconds(fold.p50_s)}, slowest {seconds(fold.max_s)}"


def _bad_spans(fold: Figures) -> str:
    if fold.first_bad_s is None:
        return f"{_summary(fold)}."
    return f"{_summary(fold)}. Bad ones from {seconds(fold.first_bad_s)} to {seconds(fold.last_bad_s)}."


# ---------------------------------------------------------------- tables


def _per_cent(value: float) -> str:
    return f"{value:.2f} %"


def _probe_row(name: str, fold: Figures) -> Row:
    available = "no data" if fold.availability is None else _per_cent(fold.availability)
    return (
        name, available, str(fold.samples), str(fold.samples - fold.good), seconds(fold.p50_s), seconds(fold.p95_s),
        seconds(fold.max_s), seconds(fold.first_bad_s), seconds(fold.last_bad_s),
    )  # fmt: skip


def _assertion_rows(execution: Execution) -> list[Row]:
    return [
        (
            Badge("\N{CHECK MARK} held", "good") if result.passed else Badge("\N{BALLOT X} failed", "bad"),
            result.phase, result.on, result.metric, result.expected, result.actual,
        )
        for result in execution.assertions
    ]  # fmt: skip


def _fault_rows(execution: Execution, fault: Fault) -> list[Row]:
    """A row for each target; one where there is none."""

    def time(at: float | None) -> str:
        return "-" if at is None else f"{at:.3f} s"

    state = Badge(fault.state.value.replace("_", " "), "" if fault.state in ENDED else "bad")
    due = offset(execution, fault.due_at)
    rows: list[Row] = []
    for target in fault.targets:
        effect = offset(execution, target.effective_at)
        delay = "-" if due is None or effect is None else seconds(effect - due)
        undone = offset(execution, target.undone_at)
        rows.append(
            (fault.type, target.name, fault.phase, fault.fault_class.value, state, time(due), time(effect), delay,
             time(undone), target.outcome or "-")
        )  # fmt: skip
    undone = offset(execution, fault.undone_at)
    nobody = (fault.type, fault.target, fault.phase, fault.fault_class.value, state, time(due), "-", "-", time(undone))
    return rows or [(*nobody, "-")]


def _commands(fault: Fault) -> CommandGroup:
    owed = "undone" if fault.state in ENDED else "still owed"
    return CommandGroup(
        f"{one_line(fault.type)} on {one_line(fault.target)}, phase {one_line(fault.phase)}",
        f"{owed}; {one_line(fault.mechanism)}",
        fault.inject_commands,
        fault.undo_commands,
    )


def _plan_rows(execution: Execution) -> list[tuple[str, str]]:
    rows = [("hash", execution.plan_hash or "none"), ("seed", str(execution.seed))]
    rows += [(f"variable {name}", value or "(empty)") for name, value in execution.variables.items()]
    rows += [
        (f"target {name}", ", ".join(f"{one.name} ({one.id[:12]})" for one in chosen) or "no container")
        for name, chosen in execution.targets.items()
    ]
    return rows


def _environment_rows(execution: Execution) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    environment = execution.environment
    if environment is not None:
        rows += [
            ("service", environment.service), ("instance", environment.instance), ("version", environment.version),
            ("environment", environment.environment),
        ]  # fmt: skip
    if environment is not None and environment.engine is not None:
        engine = environment.engine
        rows += [("engine", f"Docker {engine.version}"), ("engine id", engine.id)]
        rows += [("operating system", engine.operating_system)] if engine.operating_system else []
        rows += [("kernel", engine.kernel)] if engine.kernel else []
    times = (
        ("accepted", execution.created_at), ("started", execution.started_at), ("finished", execution.finished_at),
    )  # fmt: skip
    rows += [(name, "not yet" if at is None else stamp(at)) for name, at in times]
    return rows
