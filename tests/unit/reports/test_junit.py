from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings

from coordinator.record import AssertionResult, ExecutionState, FaultState, Report, TimelineEntry, UndoState, Verdict
from coordinator.reports import as_junit
from tests.unit.cli import played
from tests.unit.reports import hostile


def suite_of(report: Report) -> ET.Element:
    """The one suite of the document."""
    root = hostile.parsed(as_junit(report))
    assert root.tag == "testsuites"
    (suite,) = root
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")
    }
    return suite


def outcomes(report: Report) -> dict[str, str]:
    """What each case is, by name; the counts agree."""
    suite = suite_of(report)
    found = {str(case.get("name")): case[0].tag if len(case) else "passed" for case in suite.iter("testcase")}
    tags = list(found.values())
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == [
        str(count) for count in (len(tags), tags.count("failure"), tags.count("error"), tags.count("skipped"))
    ]
    return found


def test_a_passed_execution_is_green() -> None:
    """A case for each assertion and for the undo; the suite has name, time and when it began."""
    report = played.report(played.execution())
    assert outcomes(report) == {
        "outage: api availability >= 90%": "passed",
        "recovery: api recovers_within <= 20s": "passed",
        "undo": "passed",
    }
    suite = suite_of(report)
    assert (suite.get("name"), suite.get("time")) == ("kill-one-replica", "16.000")
    assert suite.get("timestamp") == "2026-01-02T03:04:05.678Z"
    assert {case.get("classname") for case in suite.iter("testcase")} == {"kill-one-replica"}


def test_an_assertion_that_did_not_hold_is_a_failure() -> None:
    """It says what was expected and what was found; it explains the verdict, which gets no case of its own."""
    report = played.report(played.execution(verdict=Verdict.FAILED, reason="phase recovery: too late"))
    assert outcomes(report)["recovery: api recovers_within <= 20s"] == "failure"
    assert "verdict" not in outcomes(report)
    failure = suite_of(report).find("testcase/failure")
    assert failure is not None
    assert (failure.get("message"), failure.get("type")) == ("expected <= 20s, actual 1.3s", "recovers_within")
    assert "phase: recovery\non: api\nmetric: recovers_within\n" in str(failure.text)


def test_the_steady_state_is_one_case() -> None:
    """Its claims, before and after, are one case that fails when any does."""
    for passed in (True, False):
        claims = tuple(
            AssertionResult(
                phase=f"steady_state {when}", on="api", metric="availability", expected=">= 99%", actual="50%",
                passed=passed,
            )
            for when in ("before", "after")
        )  # fmt: skip
        execution = played.execution(verdict=Verdict.PASSED if passed else Verdict.FAILED)
        report = played.report(execution.model_copy(update={"assertions": claims}))
        assert outcomes(report) == {"steady state": "passed" if passed else "failure", "undo": "passed"}


def test_one_that_never_got_to_its_steady_state() -> None:
    """What was not reached is skipped, and the verdict is an error with its reason."""
    execution = played.queued().model_copy(
        update={"state": ExecutionState.FINISHED, "verdict": Verdict.ERROR, "reason": "no engine"}
    )
    report = Report(execution=execution)
    assert outcomes(report) == {"steady state": "skipped", "verdict": "error", "undo": "skipped"}
    error = suite_of(report).find("testcase/error")
    assert error is not None
    assert (error.get("message"), error.get("type")) == ("no engine", "error")


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        (Verdict.ERROR, "error"),
        (Verdict.ABORTED, "error"),
        (Verdict.NOT_INJECTED, "error"),
        (Verdict.FAILED, "failure"),
        (None, "skipped"),
    ],
)
def test_a_verdict_that_no_assertion_explains_is_a_case(verdict: Verdict | None, kind: str) -> None:
    """Aborted, not injected and error are errors; a wait in vain is a failure; one that runs is skipped."""
    state = ExecutionState.RUNNING if verdict is None else ExecutionState.FINISHED
    execution = played.execution(state, verdict, reason="why").model_copy(update={"assertions": ()})
    assert outcomes(played.report(execution))["verdict"] == kind


def test_what_is_left_broken_is_an_error_with_the_commands() -> None:
    """Also of an execution that passed otherwise."""
    report = played.report(
        played.execution(undo=UndoState.INCOMPLETE, fault_state=FaultState.STUCK), (played.UNDO, "docker start two")
    )
    assert outcomes(report)["undo"] == "error"
    error = suite_of(report).find("testcase/error")
    assert error is not None
    assert error.text == f"{played.UNDO}\ndocker start two"


@pytest.mark.parametrize("verdict", [one for one in Verdict if one is not Verdict.PASSED])
@pytest.mark.parametrize("undo", list(UndoState))
@pytest.mark.parametrize("held", [True, False])
def test_only_a_passed_execution_is_all_green(verdict: Verdict, undo: UndoState, held: bool) -> None:
    """No other verdict has only cases that passed or were skipped."""
    base = played.execution(verdict=verdict, undo=undo)
    claims = tuple(claim.model_copy(update={"passed": held}) for claim in base.assertions)
    found = outcomes(played.report(base.model_copy(update={"assertions": claims})))
    assert {"failure", "error"} & set(found.values())


def test_properties_say_how_to_play_it_again() -> None:
    """Seed, plan, variables, targets, instance and engine, and the command."""
    suite = suite_of(played.report(played.execution()))
    found = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert found["execution"] == played.EXECUTION_ID
    assert (found["seed"], found["plan"], found["variable.service"]) == ("7", "abc123", "web")
    assert (found["instance"], found["engine"]) == ("chaos-1", "29.1.0 ENGINE")
    assert found["again"] == "test-coordinator run kill-one-replica --seed 7 --var service=web"


def test_the_events_are_its_output() -> None:
    """A line an event, whatever line breaks their texts have."""
    entry = TimelineEntry(at=played.BEGIN, offset_s=1.5, event="probe_bad", target="api", text="a\nb")
    execution = played.execution().model_copy(update={"timeline": (entry,)})
    assert suite_of(played.report(execution)).findtext("system-out") == "1.500 s  probe bad  api  a b"


@settings(deadline=None, max_examples=100)
@example(hostile.NASTY[3])
@example(hostile.NASTY[6])
@given(hostile.texts)
def test_foreign_text_is_never_markup(text: str) -> None:
    """Whatever others wrote, the document is well-formed and has the same elements with the same attributes."""

    def skeleton(document: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(one.tag, tuple(one.attrib)) for one in hostile.parsed(document).iter()]

    for verdict in (Verdict.FAILED, Verdict.ABORTED, None):
        plain, document = (as_junit(hostile.report(one, verdict)) for one in (hostile.PLAIN, text))
        assert skeleton(document) == skeleton(plain)
        document.encode()
