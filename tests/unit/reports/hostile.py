"""A report in which every text that somebody else may have written is one and the same."""

from collections.abc import Iterable
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

from hypothesis import strategies as st

from coordinator.record import (
    AssertionResult,
    Environment,
    ExecutionState,
    FaultState,
    Report,
    Sample,
    Series,
    TargetRef,
    TimelineEntry,
    UndoState,
    Verdict,
)
from tests.unit.cli import played

PLAIN = "x"
NASTY = (
    "<script>alert(1)</script>",
    "</style></title></svg><img src=x onerror=alert(1)>",
    "\"><svg onload='alert(1)'>",
    "]]><evil/>",
    "--><!-- <![CDATA[",
    "{{ 7 * 7 }}{% raw %}",
    "a\x00b\x1b[31m\x08\x7f\x85\ufffe\U0001ffff",
    "evil\u202egnp.exe\u2066",
    "a\r\nb\rc\u2028d",
    "`` ` ``` ~~~ **b** [a](javascript:alert(1)) ![i](x) | # - 1. &lt; &#60;",
    "- item",
    "1. item",
    "===",
)
texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=40),
    st.text(alphabet="<>&\"'`|*_[]()#-+=!~\\/ \n\t\r\x00\x1bab1.", min_size=1, max_size=40),
).filter(lambda text: text.strip() not in {"", "-"})


def report(text: str, verdict: Verdict | None = Verdict.FAILED, fault: FaultState = FaultState.STUCK) -> Report:
    """One with everything in it, left broken or not finished."""
    base = played.execution(
        ExecutionState.FINISHED if verdict else ExecutionState.RUNNING,
        verdict,
        UndoState.INCOMPLETE if verdict else UndoState.PENDING,
        fault_state=fault,
    )
    told = base.faults[0]
    target = told.targets[0].model_copy(update={"name": text, "outcome": text})
    words = {"phase": text, "type": text, "target": text, "mechanism": text, "targets": (target,)}
    commands = {"inject_commands": (text, text), "undo_commands": (text,)}
    claims = tuple(
        AssertionResult(phase=phase, on=text, metric=text, expected=text, actual=text, passed=False)
        for phase in ("steady_state before", text)
    )
    events = ("phase_started", "warning")
    execution = base.model_copy(
        update={
            "scenario": text,
            "reason": text,
            "plan_hash": text,
            "variables": {text: text},
            "targets": {text: (TargetRef(id=text, name=text),)},
            "faults": (told.model_copy(update=words | commands),),
            "assertions": claims,
            "timeline": tuple(
                TimelineEntry(at=played.BEGIN, offset_s=1.0, event=event, phase=text, fault="f", target=text, text=text)
                for event in events
            ),
            "environment": Environment(service=text, instance=text, version=text, environment=text),
        }
    )
    samples = (Sample(0.0, ok=True, latency_s=0.1, value=text), Sample(1.0, ok=False))
    return Report(execution=execution, probes={text: Series(probe=text, samples=samples)}, left_broken=(text,))


def parsed(document: str) -> ET.Element:
    """The root of an XML document. Raises ParseError where it is none."""
    return ET.fromstring(document)  # noqa: S314  # a document that we have made


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes, in order, and all its text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, ...]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.others: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        found = list(attrs)
        self.elements.append((tag, *(name for name, _ in found)))
        self.attributes += found

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)
