import pytest

from coordinator.record import ExecutionState, FaultState, Report, UndoState, Verdict
from coordinator.reports.html import as_html
from coordinator.reports.junit import as_junit
from coordinator.reports.markdown import as_markdown
from coordinator.reports.wording import again, headline, left_broken, undo_sentence, warnings
from tests.unit.cli import played


def test_every_verdict_has_its_words() -> None:
    """Each verdict and none has a title of its own, and only a passed one is good."""
    found = {verdict: headline(played.execution(verdict=verdict)) for verdict in Verdict}
    assert len({told.title for told in found.values()}) == len(Verdict)
    assert [verdict for verdict, told in found.items() if told.kind == "good"] == [Verdict.PASSED]
    unfinished = headline(played.execution(ExecutionState.STEADY_STATE))
    assert (unfinished.title, unfinished.kind) == ("Not finished", "open")
    assert "it was steady state" in unfinished.sentence


def test_passed_without_an_assertion_says_so() -> None:
    """Nothing is claimed that was not asserted."""
    execution = played.execution().model_copy(update={"assertions": ()})
    assert "nothing was asserted" in headline(execution).sentence


def test_a_fault_that_disturbed_nothing_is_warned_of() -> None:
    """One that took effect and met no packet; not one of which nobody counted."""
    execution = played.execution()
    fault = execution.faults[0]
    hit = fault.targets[0].model_copy(update={"effective_at": execution.created_at, "packets": 0})
    idle = fault.model_copy(update={"targets": (hit,)})
    assert warnings(execution) == ()
    (told,) = warnings(execution.model_copy(update={"faults": (fault, idle)}))
    assert told == f"{fault.type} on {fault.target}, phase {fault.phase}: met no packet: nothing was disturbed"
    report = Report(execution=execution.model_copy(update={"faults": (idle,)}))
    for text in (as_html(report), as_markdown(report), as_junit(report)):
        assert "met no packet: nothing was disturbed" in text
        assert "warning" in text.lower()


def test_the_undo_in_words() -> None:
    """One sentence for each state; of an execution that runs nothing is said to be final."""
    assert len({undo_sentence(played.execution(undo=undo)) for undo in UndoState}) == len(UndoState)
    running = played.execution(ExecutionState.RUNNING, undo=UndoState.NONE)
    assert undo_sentence(running) == "Nothing is to be put back so far."


@pytest.mark.parametrize(
    ("undo", "state", "left", "expected"),
    [
        (UndoState.INCOMPLETE, FaultState.STUCK, ("a",), ("a",)),
        (UndoState.INCOMPLETE, FaultState.STUCK, (), (played.UNDO,)),
        (UndoState.INCOMPLETE, FaultState.UNDONE, (), ()),
        (UndoState.PENDING, FaultState.ACTIVE, (), ()),
    ],
)
def test_what_is_left_broken(
    undo: UndoState, state: FaultState, left: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """What the record says; where it is of a history that keeps none, what the stuck faults would need."""
    report = Report(execution=played.execution(undo=undo, fault_state=state), left_broken=left)
    assert left_broken(report) == expected


def test_to_play_it_again_is_a_line_for_a_shell() -> None:
    """Values are quoted."""
    execution = played.execution().model_copy(update={"variables": {"a": "b c; rm"}})
    assert again(execution) == "test-coordinator run kill-one-replica --seed 7 --var 'a=b c; rm'"
