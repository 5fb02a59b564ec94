from datetime import UTC, datetime, timedelta

from actors.data_adapter.database import Statement
from actors.data_adapter.history_rows import statements, used_scenarios
from coordinator.outbox import Change, EntryTold, ExecutionSaved, FaultSaved, SamplesTaken
from coordinator.record import AssertionResult, Sample, Series, Submission, TimelineEntry
from tests.unit.ledger.living import entry, execution, fault_row

AT = datetime(2026, 1, 2, tzinfo=UTC)


def written(*changes: Change) -> dict[str, Statement]:
    """The statements by the table they insert into; there is at most one for each."""
    made = statements("ledger", changes, set())
    tables = [statement.sql.split()[2] for statement in made]
    assert len(tables) == len(set(tables))
    return dict(zip(tables, made, strict=True))


def phase(event: str, name: str | None, second: int) -> EntryTold:
    """A phase begins or ends."""
    at = AT + timedelta(seconds=second)
    return EntryTold(f"uid-{second}", "e", second, TimelineEntry(at=at, offset_s=second, event=event, phase=name))


def test_each_value_has_its_place() -> None:
    """Every statement has as many values as places, however many records it writes."""
    judged = AssertionResult(phase="p", on="api", metric="m", expected="1", actual="2", passed=False)
    changes: list[Change] = [
        ExecutionSaved(execution(number).model_copy(update={"assertions": (judged, judged)}), Submission(source="x"))
        for number in range(3)
    ]
    changes += [FaultSaved(fault_row().fault, 1), EntryTold("u", "e", 1, entry(1)), phase("phase_started", "p", 2)]
    changes += [SamplesTaken("s", "e", 1, Series(probe="api", samples=(Sample(0.5, True), Sample(0.7, False))))]
    made = statements("ledger", changes, set())
    assert made
    for statement in made:
        assert statement.sql.count("%s") == len(statement.values)
    assert not statements("ledger", (), set())


def test_a_scenario_is_sent_once() -> None:
    """One text is sent once in a batch, and not at all where it is known; another text is another version."""
    changes = [ExecutionSaved(execution(n), Submission(source="a" if n < 3 else "b")) for n in range(5)]
    texts = [one.values[2] for one in statements("ledger", changes, set()) if "INTO scenarios" in one.sql]
    assert texts == ["a", "b"]
    assert not [one for one in statements("ledger", changes, used_scenarios(changes)) if "INTO scenarios" in one.sql]


def test_a_phase_has_a_begin_and_an_end() -> None:
    """Entries that begin and end a phase also write its row; the last one of a name counts, other events do not."""
    told = [phase("phase_started", "a", 1), phase("probe_bad", "a", 2), phase("phase_started", "a", 3)]
    made = statements("ledger", [*told, phase("phase_started", None, 4), phase("phase_ended", "a", 5)], set())
    began, ended = (one for one in made if "INTO phases" in one.sql)
    assert began.values == (["e"], ["a"], [AT + timedelta(seconds=3)], [3.0])
    assert ended.values == (["e"], ["a"], [AT + timedelta(seconds=5)], [5.0])


def test_a_chunk_of_samples_is_summed_up() -> None:
    """The row of a chunk says from when to when it is, how many samples it has and how many were good."""
    samples = (Sample(0.5, True, 0.1), Sample(0.7, False), Sample(0.9, True, None, "up"))
    made = written(SamplesTaken("s", "e", 7, Series(probe="api", samples=samples)))["observations"]
    document = '[[0.5,true,0.1,null],[0.7,false,null,null],[0.9,true,null,"up"]]'
    assert made.values == (["s"], ["e"], [7], ["api"], [0.5], [0.9], [3], [2], [document])
    empty = written(SamplesTaken("s", "e", 7, Series(probe="api")))["observations"]
    assert empty.values[4:8] == ([None], [None], [0], [0])


def test_no_text_holds_nul() -> None:
    """Postgres has no NUL in a text: it is replaced; a document holds it escaped."""
    told = entry(1).model_copy(update={"text": "a\0b"})
    saved = execution().model_copy(update={"reason": "c\0d"})
    made = written(EntryTold("u", "e", 1, told), ExecutionSaved(saved, None))
    assert made["events"].values[-1] == ["a\N{REPLACEMENT CHARACTER}b"]
    assert r"\u0000" in str(made["executions"].values[-1])
