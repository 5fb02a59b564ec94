"""What the parts of a scenario say of each other: names that must exist, times that must fit. Judges nodes, not typed
values, so that a wrong value elsewhere hides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Final

from coordinator.errors import Problem
from coordinator.quantities import parse_duration, show_duration
from coordinator.scenarios.document import Fields, Node, Path, described, entry, field, items, text_of

MANY: Final = 200
"""Comparing with more names than this, or longer texts, takes longer than a suggestion is worth."""


def nearest(found: str, options: Collection[str]) -> str | None:
    """The option that was probably meant."""
    if len(options) > MANY or len(found) > MANY:
        return None
    close = get_close_matches(found.lower(), sorted(options), 1, 0.6)
    return close[0] if close else None


def listed(names: Collection[str]) -> str:
    """The names for a person: the first twenty, or that there is none."""
    shown = ", ".join(islice(names, 20)) or "there is none"
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown  # noqa: PLR2004  # named in the docstring


def check(root: Fields) -> Iterator[Problem]:
    """Every problem between parts, in no particular order."""
    targets, probes = _names(entry(root, "targets")), _names(entry(root, "probes"))
    for node, path in _target_names(root):
        yield from _known(node, path, targets, "target")
    for node, path in _probe_names(root):
        yield from _known(node, path, probes, "probe")
    yield from _phase_names(root)
    for index, phase in enumerate(items(entry(root, "phases"))):
        yield from _times(phase, ("phases", index))
    if not items(entry(root, "steady_state")):
        yield from _unchanged(root)


def _names(node: Node | None) -> tuple[str, ...]:
    return tuple(node.entries) if isinstance(node, Fields) else ()


def _claims(root: Fields) -> Iterator[tuple[Node, Path]]:
    """Everything that may hold `probe` or `container`."""
    for key in ("steady_state", "abort_if"):
        yield from ((claim, (key, index)) for index, claim in enumerate(items(entry(root, key))))
    for number, phase in enumerate(items(entry(root, "phases"))):
        place: Path = ("phases", number)
        yield from ((one, (*place, "assert", index)) for index, one in enumerate(items(entry(phase, "assert"))))
        wait = entry(phase, "wait_until")
        if wait is not None:
            yield wait, (*place, "wait_until")


def _target_names(root: Fields) -> Iterator[tuple[Node | None, Path]]:
    probes = entry(root, "probes")
    for name in _names(probes):
        yield entry(entry(probes, name), "target"), ("probes", name, "target")
    for number, phase in enumerate(items(entry(root, "phases"))):
        for index, fault in enumerate(items(entry(phase, "faults"))):
            place: Path = ("phases", number, "faults", index)
            yield from ((entry(fault, key), (*place, key)) for key in ("target", "from", "to"))
            yield from ((one, (*place, "between", nth)) for nth, one in enumerate(items(entry(fault, "between"))))
    for claim, path in _claims(root):
        yield entry(entry(claim, "container"), "target"), (*path, "container", "target")


def _probe_names(root: Fields) -> Iterator[tuple[Node | None, Path]]:
    for claim, path in _claims(root):
        yield entry(claim, "probe"), (*path, "probe")


def _known(node: Node | None, path: Path, names: Collection[str], kind: str) -> Iterator[Problem]:
    text = text_of(node)
    if node is None or text is None or text in names:
        return
    allowed = f"a {kind} of this scenario: {listed(names)}"
    yield Problem(node.file, node.line, field(path), described(node), allowed, nearest(text, names))


def _phase_names(root: Fields) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, phase in enumerate(items(entry(root, "phases"))):
        node = entry(phase, "name")
        name = text_of(node)
        if node is None or name is None:
            continue
        if name in seen:
            place = field(("phases", index, "name"))
            allowed = f"a name of its own; phases[{seen[name]}] has this one"
            yield Problem(node.file, node.line, place, described(node), allowed)
        seen.setdefault(name, index)


def _seconds(node: Node | None, default: float | None) -> float | None:
    """The duration; `default` when absent; None when it is no duration, which is somebody else's to report."""
    if node is None:
        return default
    try:
        return parse_duration(text_of(node))
    except ValueError:
        return None


def _times(phase: Node, place: Path) -> Iterator[Problem]:
    """Whether the phase's faults begin and end within it."""
    duration = _seconds(entry(phase, "duration"), 0.0)
    if duration is None:
        return
    for index, fault in enumerate(items(entry(phase, "faults"))):
        path = (*place, "faults", index)
        at_node, for_node = entry(fault, "at"), entry(fault, "for")
        at, lasts = _seconds(at_node, 0.0), _seconds(for_node, 0.0)
        if at is None or lasts is None:
            continue
        if at_node is not None and at > duration:
            end = f"{show_duration(duration)}, the phase's duration" if duration else "0s: the phase has no duration"
            allowed = f"at most {end}"
            yield Problem(at_node.file, at_node.line, field((*path, "at")), described(at_node), allowed)
        elif for_node is not None and duration and at + lasts > duration:
            allowed = f"at most {show_duration(round(duration - at, 6))}, to the end of the phase"
            yield Problem(for_node.file, for_node.line, field((*path, "for")), described(for_node), allowed)


def _unchanged(root: Fields) -> Iterator[Problem]:
    """`unchanged` compares with the steady state, so there must be one."""
    for claim, path in _claims(root):
        node = entry(claim, "unchanged")
        if node is not None:
            allowed = "unchanged only beside a steady_state, whose last value it compares with"
            yield Problem(node.file, node.line, field((*path, "unchanged")), described(node), allowed)
