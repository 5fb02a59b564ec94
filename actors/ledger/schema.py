"""The ledger's tables and how an older file becomes the present one. Key columns for queries, a JSON document for all.

Plain tables, so that a person can look with `sqlite3 ledger.db` when everything else is broken.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 2
"""What `PRAGMA user_version` says of a present file."""

_FIRST: Final = (
    """
    CREATE TABLE executions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        verdict TEXT,
        undo TEXT NOT NULL,
        created_at TEXT NOT NULL,
        finished_at TEXT,
        task TEXT,
        idempotency_key TEXT UNIQUE,
        submission TEXT,
        document TEXT NOT NULL
    )
    """,
    "CREATE INDEX executions_by_state ON executions (state, seq)",
    """
    CREATE TABLE faults (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        execution_id TEXT NOT NULL,
        type TEXT NOT NULL,
        class TEXT NOT NULL,
        state TEXT NOT NULL,
        engine_id TEXT NOT NULL,
        task TEXT NOT NULL,
        document TEXT NOT NULL
    )
    """,
    "CREATE INDEX faults_by_execution ON faults (execution_id, seq)",
    "CREATE INDEX faults_outstanding ON faults (seq) WHERE state NOT IN ('undone', 'not_injected')",
    """
    CREATE TABLE fault_targets (
        fault_id TEXT NOT NULL,
        container_id TEXT NOT NULL,
        name TEXT NOT NULL,
        started_at TEXT NOT NULL,
        pre_state TEXT NOT NULL,
        undo_command TEXT NOT NULL,
        PRIMARY KEY (fault_id, container_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE timeline (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        uid TEXT NOT NULL UNIQUE,
        execution_id TEXT NOT NULL,
        document TEXT NOT NULL
    )
    """,
    "CREATE INDEX timeline_by_execution ON timeline (execution_id, seq)",
    """
    CREATE TABLE series (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        uid TEXT NOT NULL UNIQUE,
        execution_id TEXT NOT NULL,
        probe TEXT NOT NULL,
        samples TEXT NOT NULL
    )
    """,
    "CREATE INDEX series_by_execution ON series (execution_id, seq)",
    "CREATE TABLE heartbeat (one INTEGER PRIMARY KEY CHECK (one = 1), beats INTEGER NOT NULL)",
)

# The outbox: each record bears the number of its latest change. Columns, not a table of entries: where nobody reads it
# nothing piles up, and whoever begins to read finds everything that is still remembered.
_OUTBOX: Final = (
    "ALTER TABLE executions ADD COLUMN change INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE faults ADD COLUMN change INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE timeline ADD COLUMN change INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE series ADD COLUMN change INTEGER NOT NULL DEFAULT 0",
    """
    CREATE TABLE outbox (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        ledger TEXT NOT NULL,
        latest INTEGER NOT NULL,
        acknowledged INTEGER NOT NULL
    )
    """,
    "INSERT INTO outbox VALUES (1, lower(hex(randomblob(16))), 0, 0)",
    "UPDATE executions SET change = seq",
    "UPDATE outbox SET latest = coalesce((SELECT max(seq) FROM executions), 0)",
    "UPDATE faults SET change = seq + (SELECT latest FROM outbox)",
    "UPDATE outbox SET latest = latest + coalesce((SELECT max(seq) FROM faults), 0)",
    "UPDATE timeline SET change = seq + (SELECT latest FROM outbox)",
    "UPDATE outbox SET latest = latest + coalesce((SELECT max(seq) FROM timeline), 0)",
    "UPDATE series SET change = seq + (SELECT latest FROM outbox)",
    "UPDATE outbox SET latest = latest + coalesce((SELECT max(seq) FROM series), 0)",
    "CREATE UNIQUE INDEX executions_by_change ON executions (change)",
    "CREATE UNIQUE INDEX faults_by_change ON faults (change)",
    "CREATE UNIQUE INDEX timeline_by_change ON timeline (change)",
    "CREATE UNIQUE INDEX series_by_change ON series (change)",
)

MIGRATIONS: Final = (_FIRST, _OUTBOX)
"""Statements that lead from each version to the next; never changed once released, only added to."""
