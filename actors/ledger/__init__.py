"""The durable record of executions and faults, in SQLite."""

from actors.ledger.actor import LedgerActor
from actors.ledger.memory import MemoryLedger

__all__ = ["LedgerActor", "MemoryLedger"]
