"""Errors as gRPC statuses: which one an error has, and what a client is told. Never a traceback."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from coordinator.errors import (
    Conflict,
    CoordinatorError,
    EngineUnreachable,
    InvalidScenario,
    LedgerUnavailable,
    LibraryUnavailable,
    MissingSecret,
    NotFound,
    Refused,
)
from coordinator.logging import log

_KNOWN: Final[Mapping[type[CoordinatorError], grpc.StatusCode]] = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    MissingSecret: grpc.StatusCode.FAILED_PRECONDITION,
    Refused: grpc.StatusCode.PERMISSION_DENIED,
    InvalidScenario: grpc.StatusCode.INVALID_ARGUMENT,
    EngineUnreachable: grpc.StatusCode.UNAVAILABLE,
    LedgerUnavailable: grpc.StatusCode.UNAVAILABLE,
    LibraryUnavailable: grpc.StatusCode.UNAVAILABLE,
}
_MAX_TEXT: Final = 4000
"""Characters: a status travels in a header, which clients take only up to 8 KiB."""


class WrongRequest(CoordinatorError):
    """A request that is turned away before anybody is asked."""


class Ending(CoordinatorError):
    """The API stops while a stream goes on."""


class Answering:
    """Ends a call with the status of what is raised within."""

    def __init__(self, context: Any) -> None:
        """`context` is the call's ServicerContext."""
        self._context = context

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        """Abort with a status; a cancelled call, or one that is aborted already, stays as it is."""
        if isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
            await self._context.abort(*told(error))


def told(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The status and the text for a client; what nobody foresaw goes to the log."""
    match error:
        case WrongRequest():
            code = grpc.StatusCode.INVALID_ARGUMENT
        case Ending():
            code = grpc.StatusCode.UNAVAILABLE
        case CoordinatorError():
            code = next(
                (code for family, code in _KNOWN.items() if isinstance(error, family)), grpc.StatusCode.INTERNAL
            )
        case _:
            log("grpc_api:error", "ERROR", traceback="".join(traceback.format_exception(error)))
            return grpc.StatusCode.INTERNAL, "an error of the coordinator's own; its log tells more"
    text = str(error)
    return code, text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
