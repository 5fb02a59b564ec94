"""What a ledger file, a Postgres schema and a Redis stream hold, read from outside and made comparable."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import redis
from psycopg2.extensions import cursor

TABLES = ("assertions", "coordinator", "events", "executions", "faults", "feeds", "observations", "phases", "scenarios")


@dataclass(frozen=True, slots=True)
class Remembered:
    """Every record by its name, in order where there is one; two are equal when they tell the same."""

    executions: dict[str, Any]
    faults: dict[str, Any]
    events: list[tuple[Any, ...]]
    samples: list[tuple[Any, ...]]

    @property
    def count(self) -> int:
        """How many records."""
        return len(self.executions) + len(self.faults) + len(self.events) + len(self.samples)


@contextmanager
def asking(url: str, schema: str = "pg_catalog") -> Iterator[cursor]:
    """A cursor of an observer, each statement committed, names looked up in that schema."""
    connection = psycopg2.connect(url, application_name="observer")
    try:
        connection.autocommit = True
        with connection.cursor() as asked:
            asked.execute("SELECT set_config('search_path', %s, false)", [schema])
            yield asked
    finally:
        connection.close()


def rows(url: str, query: str, schema: str = "pg_catalog") -> list[tuple[Any, ...]]:
    """What a query on Postgres gives."""
    with asking(url, schema) as asked:
        asked.execute(query)
        return list(asked.fetchall())


def command(url: str, *statements: str, schema: str = "pg_catalog") -> None:
    """Run statements as the server's administrator."""
    with asking(url, schema) as asked:
        for statement in statements:
            asked.execute(statement)


def in_ledger(data_dir: Path) -> Remembered:
    """What a ledger file holds."""
    with closing(sqlite3.connect(f"file:{data_dir / 'ledger.db'}?mode=ro", uri=True, timeout=10)) as file:
        ask = file.execute
        events = ask("SELECT uid, execution_id, document FROM timeline ORDER BY execution_id, seq").fetchall()
        return Remembered(
            executions={name: json.loads(document) for name, document in ask("SELECT id, document FROM executions")},
            faults={name: json.loads(document)["fault"] for name, document in ask("SELECT id, document FROM faults")},
            events=[(uid, execution, *_event(json.loads(document))) for uid, execution, document in events],
            samples=[
                (*found, json.loads(samples))
                for *found, samples in ask(
                    "SELECT uid, execution_id, probe, samples FROM series ORDER BY execution_id, seq"
                )
            ],
        )


def _event(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry[name] for name in ("at", "offset_s", "event", "phase", "fault", "target", "text"))


def in_postgres(url: str, schema: str) -> Remembered:
    """What a schema holds."""
    with asking(url, schema) as asked:

        def ask(query: str) -> list[tuple[Any, ...]]:
            asked.execute(query)
            return list(asked.fetchall())

        # One look at all tables.
        asked.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        return Remembered(
            executions=dict(ask("SELECT id, document FROM executions")),
            faults=dict(ask("SELECT id, document FROM faults")),
            events=ask(
                """SELECT uid, execution_id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),"""
                " offset_s, event, phase, fault, target, text FROM events"
                ' ORDER BY execution_id COLLATE "C", place'
            ),
            samples=ask(
                'SELECT uid, execution_id, probe, samples FROM observations ORDER BY execution_id COLLATE "C", place'
            ),
        )


def client_of(url: str) -> redis.Redis:
    """A client of a Redis, for a `with`, that gives text."""
    made: redis.Redis = redis.Redis.from_url(url, decode_responses=True)
    return made


def streamed(url: str, namespace: str) -> list[dict[str, str]]:
    """The events in Redis, in order."""
    with client_of(url) as client:
        found: list[tuple[str, dict[str, str]]] = client.xrange(f"{namespace}:events")
    return [fields for _, fields in found]


def told_in_order(data_dir: Path) -> list[str]:
    """The names of all timeline entries of a ledger file, as they were written."""
    with closing(sqlite3.connect(f"file:{data_dir / 'ledger.db'}?mode=ro", uri=True, timeout=10)) as file:
        return [name for (name,) in file.execute("SELECT uid FROM timeline ORDER BY seq")]


def schemas(url: str) -> dict[str, list[str]]:
    """Every schema that is not the server's own, with its tables."""
    found = rows(
        url,
        "SELECT nspname, array_remove(array_agg(relname::text ORDER BY relname), NULL) FROM pg_namespace n"
        " LEFT JOIN pg_class c ON relnamespace = n.oid AND relkind IN ('r', 'p', 'v', 'm')"
        " WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' GROUP BY nspname",
    )
    return dict(found)


def keys(url: str) -> set[str]:
    """Every key."""
    with client_of(url) as client:
        return set(client.scan_iter(count=1000))
