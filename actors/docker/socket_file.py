"""Whether the engine's socket file has gone deaf: the file is there and nobody listens behind it. An engine that
restarts makes a new file, and a container that mounted the old one keeps the old one.
"""

from __future__ import annotations

from typing import Final

import anyio

ANSWER_WITHIN_S: Final = 2.0
_UNIX: Final = "unix://"


async def refuses(endpoint: str) -> bool:
    """Whether a connection to a Unix socket is refused. An engine elsewhere, no file, a busy engine: False."""
    if not endpoint.startswith(_UNIX):
        return False
    with anyio.move_on_after(ANSWER_WITHIN_S):
        try:
            connection = await anyio.connect_unix(endpoint.removeprefix(_UNIX))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        await connection.aclose()
    return False
