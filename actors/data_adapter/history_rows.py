"""Records of the ledger as statements that write them into the history's tables: pure, and each may be sent twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pydantic import TypeAdapter

from actors.data_adapter.database import Statement
from coordinator.outbox import Change, EntryTold, ExecutionSaved, FaultSaved, SamplesTaken
from coordinator.record import Sample

SAMPLES: TypeAdapter[tuple[Sample, ...]] = TypeAdapter(tuple[Sample, ...])

_SCENARIO: Final = """
    INSERT INTO scenarios (name, version, hash, source, first_used_at)
    SELECT %s, coalesce(max(version), 0) + 1, %s, %s, %s FROM scenarios WHERE name = %s
    ON CONFLICT (name, hash) DO NOTHING
"""
_EXECUTIONS: Final = """
    INSERT INTO executions (id, ledger, scenario, scenario_version, state, verdict, reason, undo, seed, plan_hash,
                            created_at, started_at, finished_at, document)
    SELECT id, %s, scenario, (SELECT version FROM scenarios WHERE name = scenario AND hash = x.hash), state, verdict,
           reason, undo, seed, plan_hash, created_at, started_at, finished_at, document
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::numeric[],
                %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::json[])
      AS x (id, scenario, hash, state, verdict, reason, undo, seed, plan_hash, created_at, started_at, finished_at,
            document)
    ON CONFLICT (id) DO UPDATE SET
        ledger = excluded.ledger, state = excluded.state, verdict = excluded.verdict, reason = excluded.reason,
        undo = excluded.undo, plan_hash = excluded.plan_hash, started_at = excluded.started_at,
        finished_at = excluded.finished_at, document = excluded.document,
        scenario_version = coalesce(excluded.scenario_version, executions.scenario_version)
"""
_NO_ASSERTIONS: Final = "DELETE FROM assertions WHERE execution_id = ANY (%s::text[])"
_ASSERTIONS: Final = """
    INSERT INTO assertions (execution_id, place, phase, subject, metric, expected, actual, passed)
    SELECT * FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bool[])
"""
_FAULTS: Final = """
    INSERT INTO faults (id, execution_id, place, phase, type, target, class, mechanism, state, due_at, armed_at,
                        fired_at, undone_at, document)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
                         %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[],
                         %s::timestamptz[], %s::json[])
    ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, mechanism = excluded.mechanism, due_at = excluded.due_at, armed_at = excluded.armed_at,
        fired_at = excluded.fired_at, undone_at = excluded.undone_at, document = excluded.document
"""
_EVENTS: Final = """
    INSERT INTO events (uid, execution_id, place, at, offset_s, event, phase, fault, target, text)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::timestamptz[], %s::float8[], %s::text[], %s::text[],
                         %s::text[], %s::text[], %s::text[])
    ON CONFLICT (uid) DO NOTHING
"""
_PHASES_STARTED: Final = """
    INSERT INTO phases (execution_id, name, started_at, started_s)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::float8[])
    ON CONFLICT (execution_id, name) DO UPDATE SET started_at = excluded.started_at, started_s = excluded.started_s
"""
_PHASES_ENDED: Final = """
    INSERT INTO phases (execution_id, name, ended_at, ended_s)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::float8[])
    ON CONFLICT (execution_id, name) DO UPDATE SET ended_at = excluded.ended_at, ended_s = excluded.ended_s
"""
_OBSERVATIONS: Final = """
    INSERT INTO observations (uid, execution_id, place, probe, began_s, ended_s, total, good, samples)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::float8[], %s::float8[], %s::int[],
                         %s::int[], %s::json[])
    ON CONFLICT (uid) DO NOTHING
"""
_PHASE_EVENTS: Final = {"phase_started": _PHASES_STARTED, "phase_ended": _PHASES_ENDED}


def statements(ledger: str, changes: Sequence[Change], known: set[tuple[str, str]]) -> list[Statement]:
    """All that writes these changes. `known` are the scenario texts, by name and hash, that need not be sent again."""
    executions = [one for one in changes if isinstance(one, ExecutionSaved)]
    entries = [one for one in changes if isinstance(one, EntryTold)]
    return [
        *_scenarios(executions, known),
        *_rows(_EXECUTIONS, map(_execution_row, executions), ledger),
        *_assertions(executions),
        *_rows(_FAULTS, (_fault_row(one) for one in changes if isinstance(one, FaultSaved))),
        *_rows(_EVENTS, map(_event_row, entries)),
        *_phases(entries),
        *_rows(_OBSERVATIONS, (_observation_row(one) for one in changes if isinstance(one, SamplesTaken))),
    ]


def used_scenarios(changes: Iterable[Change]) -> set[tuple[str, str]]:
    """Name and hash of the scenario texts in these changes."""
    saved = (one for one in changes if isinstance(one, ExecutionSaved))
    return {(one.execution.scenario, found) for one in saved if (found := _hash(one)) is not None}


def _rows(sql: str, rows: Iterable[tuple[object, ...]], *first: object) -> Iterator[Statement]:
    """One statement for all rows, a list for each column; none for no rows."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        yield Statement(sql, (*first, *columns))


def _scenarios(saved: Iterable[ExecutionSaved], known: set[tuple[str, str]]) -> Iterator[Statement]:
    sent = set(known)
    for one in saved:
        name, found = one.execution.scenario, _hash(one)
        if one.submission is not None and found is not None and (name, found) not in sent:
            sent.add((name, found))
            values = (name, found, _text(one.submission.source), one.execution.created_at, name)
            yield Statement(_SCENARIO, values)


def _hash(saved: ExecutionSaved) -> str | None:
    source = None if saved.submission is None else saved.submission.source
    return None if source is None else hashlib.sha256(source.encode()).hexdigest()


def _execution_row(saved: ExecutionSaved) -> tuple[object, ...]:
    one = saved.execution
    verdict = None if one.verdict is None else one.verdict.value
    told = (one.id, one.scenario, _hash(saved), one.state.value, verdict, _text(one.reason), one.undo.value)
    times = (one.created_at, one.started_at, one.finished_at)
    return (*told, one.seed, one.plan_hash, *times, one.model_dump_json(by_alias=True))


def _assertions(saved: Sequence[ExecutionSaved]) -> Iterator[Statement]:
    judged = [one.execution for one in saved if one.execution.assertions]
    if not judged:
        return
    yield Statement(_NO_ASSERTIONS, ([one.id for one in judged],))
    yield from _rows(
        _ASSERTIONS,
        (
            (one.id, place, *map(_text, (a.phase, a.on, a.metric, a.expected, a.actual)), a.passed)
            for one in judged
            for place, a in enumerate(one.assertions)
        ),
    )


def _fault_row(saved: FaultSaved) -> tuple[object, ...]:
    one = saved.fault
    what = (one.phase, one.type, one.target, one.fault_class.value, one.mechanism, one.state.value)
    times = (one.due_at, one.armed_at, one.fired_at, one.undone_at)
    return (one.id, one.execution_id, saved.place, *what, *times, one.model_dump_json(by_alias=True))


def _event_row(told: EntryTold) -> tuple[object, ...]:
    one = told.entry
    texts = map(_text, (one.event, one.phase, one.fault, one.target, one.text))
    return (told.uid, told.execution_id, told.place, one.at, one.offset_s, *texts)


def _phases(entries: Iterable[EntryTold]) -> Iterator[Statement]:
    for event, sql in _PHASE_EVENTS.items():
        # The last one of a name counts: a statement cannot write a row twice.
        rows = {
            (one.execution_id, one.entry.phase): (one.execution_id, one.entry.phase, one.entry.at, one.entry.offset_s)
            for one in entries
            if one.entry.event == event and one.entry.phase is not None
        }
        yield from _rows(sql, rows.values())


def _observation_row(taken: SamplesTaken) -> tuple[object, ...]:
    samples = taken.series.samples
    began, ended = (samples[0].offset_s, samples[-1].offset_s) if samples else (None, None)
    counts = (len(samples), sum(sample.ok for sample in samples))
    document = SAMPLES.dump_json(samples).decode()
    return (taken.uid, taken.execution_id, taken.place, taken.series.probe, began, ended, *counts, document)


def _text(text: str | None) -> str | None:
    """Postgres has no place for NUL in a text; documents hold it escaped."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")
