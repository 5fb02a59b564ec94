"""Who may call: the bearer token, for everything but health and reflection. Knows no call's work."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
from pydantic import SecretStr

OPEN_SERVICES: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""They tell nothing that a port scan and the source would not."""


class TokenGuard(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Turns calls without the token away. The token is compared in constant time and shown nowhere."""

    def __init__(self, token: SecretStr) -> None:
        """Raises ValueError for an empty token: it would let everybody in."""
        if not token.get_secret_value():
            message = "the API token is empty; set API_TOKEN or let one be made"
            raise ValueError(message)
        self._token = token.get_secret_value().encode()

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """The call's own handler, or one that turns it away. Unknown methods are turned away like known ones."""
        if details.method.startswith(OPEN_SERVICES):
            return await continuation(details)
        why = self._why_not(details.invocation_metadata)
        return await continuation(details) if why is None else _turned_away(why)

    def _why_not(self, metadata: Any) -> str | None:
        given = [value for key, value in metadata or () if key == "authorization"]
        scheme, _, token = str(given[0]).partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            return "send the token in the metadata `authorization: Bearer …`"
        return None if hmac.compare_digest(token.strip().encode(), self._token) else "this is not the token"


def _turned_away(why: str) -> Any:
    async def abort(_request: object, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, why)

    return grpc.unary_unary_rpc_method_handler(abort)
