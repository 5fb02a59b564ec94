"""Which engine: DOCKER_HOST or DOCKER_SOCKET to one endpoint, and why an engine at an endpoint does not answer."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from coordinator.errors import EngineUnreachable, InvalidSettings

DEFAULT_ENDPOINT: Final = "unix:///var/run/docker.sock"
ALLOWED: Final = "unix:///path/to/docker.sock or tcp://host:port"


def resolve_endpoint(environ: Mapping[str, str]) -> str:
    """The endpoint for every command and look; DOCKER_HOST wins, `docker context` is ignored.

    DOCKER_SOCKET may be a bare path. Raises InvalidSettings.
    """
    if environ.get("DOCKER_HOST"):
        return check_endpoint(environ["DOCKER_HOST"], "DOCKER_HOST")
    socket = environ.get("DOCKER_SOCKET") or DEFAULT_ENDPOINT
    return check_endpoint(f"unix://{socket}" if socket.startswith("/") else socket, "DOCKER_SOCKET")


def check_endpoint(endpoint: str, variable: str) -> str:
    """The endpoint itself when commands and facts can both reach it. Raises InvalidSettings naming the variable."""
    try:
        parts = urlsplit(endpoint)
        unix = parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/") and len(parts.path) > 1
        tcp = parts.scheme == "tcp" and bool(parts.hostname) and parts.port is not None and parts.path in {"", "/"}
    except ValueError:
        unix = tcp = False
    if not (unix or tcp):
        raise InvalidSettings(f"{variable}: {endpoint!r}; allowed: {ALLOWED}")
    return endpoint.rstrip("/")


def unreachable(endpoint: str, error: BaseException, timeout_s: float) -> EngineUnreachable:
    """What went wrong and what to do about it, in one line, from whatever a client library raised."""
    return EngineUnreachable(f"Docker engine at {endpoint}: {_advice(endpoint, error, timeout_s)}")


def _advice(endpoint: str, error: BaseException, timeout_s: float) -> str:
    for cause in causes(error):
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return f"no answer within {timeout_s:g} s: is it overloaded or stopped? see `docker version`"
        match getattr(cause, "errno", None):
            case errno.ENOENT:
                return "no such socket: start Docker (`systemctl start docker`) or set DOCKER_HOST"
            case errno.EACCES | errno.EPERM:
                return "permission denied: add the user to the docker group and log in again, or run as root"
            case errno.ECONNREFUSED if endpoint.startswith("unix:"):
                return (
                    "the socket refuses connections: start Docker (`systemctl start docker`); in a container, restart "
                    "it so that the new socket is mounted"
                )
            case errno.ECONNREFUSED:
                return "connection refused: start Docker there, let it listen on TCP, or set DOCKER_HOST"
            case _:
                pass
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"{first}: see `docker version`"


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all it wraps, by cause, context or argument (urllib3 hands its cause on as an argument)."""
    pending, known = [error], set()
    while pending:
        cause = pending.pop(0)
        if id(cause) in known:
            continue
        known.add(id(cause))
        yield cause
        inner = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        pending.extend(each for each in inner if isinstance(each, BaseException))
