import base64
import hashlib
import re

import pytest
from hypothesis import example, given, settings

from coordinator.faults.commands import SET_HELPER_IMAGE, in_namespace
from coordinator.plain_text import REPLACEMENT
from coordinator.record import (
    ExecutionState,
    FaultState,
    Report,
    Sample,
    Series,
    UndoState,
    Verdict,
)
from coordinator.reports.html import MOST_LANES, as_html, content_policy
from coordinator.reports.wording import left_broken
from tests.unit.cli import played
from tests.unit.reports import hostile
from tests.unit.reports.hostile import Skeleton

PAGE = as_html(played.report(played.execution()))


def text_of(page: str) -> str:
    """What a reader reads, on one line."""
    body = Skeleton(page.partition("<body>")[2])
    return " ".join(" ".join(body.text).split())


def test_the_verdict_comes_first_in_words() -> None:
    """Scenario, verdict, reason, what it means and what became of the undo, before anything else."""
    failed = played.execution(verdict=Verdict.FAILED, reason="phase outage: api was away")
    assert text_of(as_html(played.report(failed))).startswith(
        "Scenario kill-one-replica Failed phase outage: api was away What was asserted did not hold. "
        "Everything that was changed is put back. Recovery of api (recovery) 1.3s"
    )


@pytest.mark.parametrize("verdict", [*Verdict, None])
@pytest.mark.parametrize("undo", list(UndoState))
def test_there_is_a_page_for_every_end_and_for_none(verdict: Verdict | None, undo: UndoState) -> None:
    """Whatever became of an execution, and while it runs, it has a page whose heading says which."""
    state = ExecutionState.RUNNING if verdict is None else ExecutionState.FINISHED
    page = as_html(played.report(played.execution(state, verdict, undo)))
    word = "Not finished" if verdict is None else verdict.value.replace("_", " ").capitalize()
    assert f"<h1>{word}</h1>" in page


def test_what_is_left_broken_is_told_with_its_commands() -> None:
    """The commands stand at the top; of a record that remembers none, those of the faults that still owe."""
    stuck = played.execution(undo=UndoState.INCOMPLETE, fault_state=FaultState.STUCK)
    for left in ((played.UNDO,), ()):
        head = text_of(as_html(played.report(stuck, left))).partition("What happened when")[0]
        assert f"Something is left broken. Left broken: run these commands {played.UNDO}" in head
    assert "Left broken" not in PAGE


def test_what_is_left_broken_can_be_pasted() -> None:
    """Where a command holds a variable for the image of helpers, the line that sets it stands before."""
    command = in_namespace("a" * 64, "remove", "f-1").shown()
    stuck = played.execution(undo=UndoState.INCOMPLETE, fault_state=FaultState.STUCK)
    report = played.report(stuck, (command,))
    assert left_broken(report) == (SET_HELPER_IMAGE, command)
    assert f"run these commands {SET_HELPER_IMAGE} {command}" in text_of(as_html(report))


@pytest.mark.parametrize(
    "part",
    [
        "container_kill web-1 outage journal undone 4.000 s 4.120 s 120 ms 14.000 s killed",
        "✓ held recovery api recovers_within <= 20s 1.3s",
        "api 81.25 % 16 3 100 ms 160 ms 160 ms 4.00 s 6.00 s",
        f"To inject: {played.INJECT} To undo, recorded before anything was injected: {played.UNDO}",
        "hash abc123 seed 7 variable service web target replica web-1 (c0ffeec0ffee)",
        "test-coordinator run kill-one-replica --seed 7 --var service=web",
        "service test-coordinator instance chaos-1 version 1.2.3 environment testing engine Docker 29.1.0",
        "engine id ENGINE operating system Debian kernel 6.1 accepted 2026-01-02T03:04:05.678Z",
        "4.120 s outage fault effective web-1 -",
    ],
)
def test_it_holds_all_that_is_on_record(part: str) -> None:
    """Faults with their times, assertions, probes, commands, plan, environment and events."""
    assert part in text_of(PAGE)


def test_pictures_have_words() -> None:
    """Every picture has a title and a description that tell what it shows."""
    found = Skeleton(PAGE)
    named = {value for name, value in found.attributes if name == "aria-labelledby"}
    ids = {value for name, value in found.attributes if name == "id"}
    assert {one for value in named if value for one in value.split()} <= ids
    assert PAGE.count('role="img"') == 2
    text = text_of(PAGE)
    assert "Phase outage from 3.00 s to 14.00 s. container_kill on web-1: due at 4.00 s, seen at 4.12 s," in text
    assert "81.25 % available, 3 of 16 samples bad, p50 100 ms, slowest 160 ms. Bad ones from 4.00 s to 6.00 s." in text


def test_faults_are_shaded_over_every_probe() -> None:
    """Over each probe: from due to effect, and from effect to undone, where they were."""
    shades = PAGE.partition('<g id="shades">')[2].partition("</g>")[0]
    assert '<rect class="due" x="25.0%" width="0.75%"' in shades
    assert '<rect class="force" x="25.75%" width="61.75%"' in shades
    report = played.report(played.execution())
    page = as_html(report.model_copy(update={"probes": report.probes | {"other": report.probes["api"]}}))
    assert page.count('<svg class="plot"') == page.count('<use href="#shades"/>') == 2


def test_the_page_loads_nothing_and_allows_only_its_own_style() -> None:
    """No script and no address to load from; the policy it carries is the one to be sent, and fits its style."""
    found = Skeleton(PAGE)
    assert not {element[0] for element in found.elements} & {"script", "img", "iframe", "object", "embed", "form"}
    assert {value for name, value in found.attributes if name in {"href", "src"}} == {"data:,", "#shades"}
    assert not [name for name, _ in found.attributes if name == "style" or name.startswith("on")]
    style = re.search("<style>(.*)</style>", PAGE, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in content_policy()
    assert content_policy() in {value for name, value in found.attributes if name == "content"}
    assert "url(http" not in style[1]


def test_tables_have_headers_and_every_cell_its_name() -> None:
    """Each table has a caption and column headers; each cell bears its column's name, for narrow pages."""
    assert PAGE.count("<table") == PAGE.count("<caption>") == 4
    assert PAGE.count("<th ") == PAGE.count('scope="col"')
    assert PAGE.count("<td ") == PAGE.count("data-name=")


def test_one_that_has_not_begun_is_a_page_too() -> None:
    """Without faults, samples and events their sections are left out."""
    page = as_html(Report(execution=played.queued()))
    assert re.findall('<h2 id="([a-z]+)">', page) == ["plan", "environment"]


def test_a_probe_without_samples_is_there() -> None:
    """No data is said, not hidden."""
    report = played.report(played.execution()).model_copy(update={"probes": {"none": Series(probe="none")}})
    assert "none has no samples" in text_of(as_html(report))


def test_very_many_faults_stay_a_page() -> None:
    """Lanes and shades are bounded; the table has every fault."""
    one = played.fault()
    many = tuple(
        one.model_copy(update={"targets": (one.targets[0].model_copy(update={"name": f"web-{number}"}),)})
        for number in range(300)
    )
    page = as_html(played.report(played.execution().model_copy(update={"faults": many})))
    assert f"{300 - MOST_LANES} more are in the table of faults." in page
    assert page.partition('<g id="shades">')[2].partition("</g>")[0].count("<rect") == 1
    assert all(f"<span>web-{number}</span>" in page for number in range(300))


def test_what_was_undone_next_morning_does_not_flatten_the_picture() -> None:
    """A fault that recovery undid hours later is drawn to the edge, and its time told."""
    one = played.fault()
    late = played.after(40_000)
    fault = one.model_copy(update={"targets": (one.targets[0].model_copy(update={"undone_at": late}),)})
    execution = played.execution().model_copy(update={"faults": (fault,), "finished_at": late})
    page = as_html(played.report(execution))
    assert "container_kill on web-1: undone after 40000.00 s" in page
    assert '<rect class="open"' in page


@settings(deadline=None, max_examples=60)
@example(hostile.NASTY[0])
@example(hostile.NASTY[6])
@given(hostile.texts)
def test_foreign_text_is_never_markup(text: str) -> None:
    """Whatever others wrote, the page has the same elements with the same attributes, and no harmful character."""
    for verdict in (Verdict.FAILED, None):
        plain, page = (as_html(hostile.report(one, verdict)) for one in (hostile.PLAIN, text))
        assert Skeleton(page).elements == Skeleton(plain).elements
        assert Skeleton(page).others == Skeleton(plain).others == ["doctype html"]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]", page)


def test_what_is_taken_out_leaves_a_mark() -> None:
    """A control character becomes the replacement character; the text around it stays."""
    page = as_html(hostile.report("a\x1b[31mb"))
    assert f"Scenario a{REPLACEMENT}[31mb" in text_of(page)


def test_an_hour_of_samples_is_a_small_page() -> None:
    """The page's size depends on its pictures' width, not on how many samples are behind them."""
    samples = tuple(Sample(index / 10, index % 7 != 0, 0.01 + index % 13 / 1000) for index in range(36_000))
    report = Report(execution=played.execution(), probes={"api": Series(probe="api", samples=samples)})
    assert len(as_html(report)) < 60_000
