"""Executions that this coordinator knows, and behind them those that only the history remembers: who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol, TypeVar

from coordinator.errors import HistoryUnavailable, NotFound
from coordinator.logging import log
from coordinator.ports import History, Ledger
from coordinator.record import Execution, ExecutionState, Report

T = TypeVar("T")


class Known(Protocol):
    """The executions of the ledger, as the executions actor tells of them."""

    async def execution(self, execution_id: str) -> Execution:
        """One. Raises NotFound."""
        ...

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, after: str | None
    ) -> tuple[Execution, ...]:
        """Newest first."""
        ...

    async def report(self, execution_id: str) -> Report:
        """All that is recorded. Raises NotFound."""
        ...


class Past:
    """What is known, or else remembered. Without a history only what is known."""

    def __init__(self, known: Known, ledger: Ledger, history: History | None) -> None:
        """Keep the ports."""
        self._known = known
        self._ledger = ledger
        self._history = history

    async def execution(self, execution_id: str) -> Execution:
        """One execution. Raises NotFound."""
        return await self._or_remembered(self._known.execution, self._remembered, execution_id)

    async def report(self, execution_id: str) -> Report:
        """Everything recorded of one. Raises NotFound."""
        return await self._or_remembered(self._known.report, self._remembered_report, execution_id)

    async def executions(
        self, states: Collection[ExecutionState] | None, limit: int, after: str | None
    ) -> tuple[Execution, ...]:
        """A page, newest first: what the ledger has, then what only the history has."""
        found = list(await self._known.executions(states, limit, after))
        history = self._history
        if history is None or len(found) >= limit:
            return tuple(found)
        try:
            last = found[-1] if found else None if after is None else await self.execution(after)
            while len(found) < limit:
                before = None if last is None else (last.created_at, last.id)
                page = await history.executions(states, limit, before)
                found += [one for one in page if await self._ledger.task(one.id) is None]
                if len(page) < limit:
                    break
                last = page[-1]
        except NotFound:
            return ()
        except HistoryUnavailable as error:
            log("history:not_asked", "WARNING", reason=str(error))
        return tuple(found[:limit])

    async def _or_remembered(
        self, known: Callable[[str], Awaitable[T]], remembered: Callable[[History, str], Awaitable[T | None]], name: str
    ) -> T:
        try:
            return await known(name)
        except NotFound as unknown:
            if self._history is None:
                raise
            try:
                found = await remembered(self._history, name)
            except HistoryUnavailable as error:
                message = f"{unknown} in the ledger; {error}"
                raise NotFound(message) from error
            if found is None:
                raise
            return found

    async def _remembered(self, history: History, execution_id: str) -> Execution | None:
        return await history.execution(execution_id)

    async def _remembered_report(self, history: History, execution_id: str) -> Report | None:
        execution = await history.execution(execution_id)
        if execution is None:
            return None
        return Report(execution=execution, probes=dict(await history.series(execution_id)))
