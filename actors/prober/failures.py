"""Says in one short line why a look failed, told apart by kind: refused, timeout, unknown name, unreachable, tls,
broken. Knows what libraries raise; refuses to show text that could hold a secret.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

import anyio
import h11

from coordinator.errors import CoordinatorError
from coordinator.record import Reading

MAX_ERROR = 200
"""Characters of an error that are kept; it is shown beside a progress bar."""

_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})

# The first that fits names the kind: what is more telling stands before what it inherits from.
_KINDS: tuple[tuple[str, tuple[type[Exception], ...]], ...] = (
    ("refused", (ConnectionRefusedError,)),
    ("unknown name", (socket.gaierror,)),
    ("tls", (ssl.SSLError,)),
    ("timeout", (TimeoutError,)),
    (
        "broken",
        (
            ConnectionError,
            h11.RemoteProtocolError,
            anyio.BrokenResourceError,
            anyio.EndOfStream,
        ),
    ),
)


class NoContainer(CoordinatorError):
    """A probe's target has no container, or its container has no address."""


def failed(error: Exception) -> Reading:
    """A bad reading that tells what went wrong."""
    return Reading(ok=False, error=describe(error))


def wrong_answer(what: str, *, latency_s: float, value: float | str | None = None) -> Reading:
    """A bad reading of an answer that came, but was not the expected one."""
    return Reading(ok=False, latency_s=latency_s, value=value, error=shortened(f"wrong answer: {what}"))


def no_data(what: str, *, latency_s: float) -> Reading:
    """A bad reading of an answer that came in good order and held nothing."""
    return Reading(ok=False, latency_s=latency_s, error=shortened(f"no data: {what}"))


def timed_out(timeout_s: float) -> Reading:
    """A bad reading of an answer that did not come."""
    return Reading(ok=False, error=f"timeout: no answer within {timeout_s:g} s")


def shortened(text: str) -> str:
    """One line of at most MAX_ERROR characters; JSON may hold halves of characters, which no file takes."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= MAX_ERROR else line[: MAX_ERROR - 1] + "…"


def describe(error: Exception) -> str:
    """`kind: Class: message`; for an error of ours `Class: message`."""
    chain = list(_chain(error))
    if any(isinstance(link, h11.LocalProtocolError) for link in chain):
        # Its message quotes the header, which may be a secret.
        return "cannot be sent: a header, the method or the path holds characters that HTTP does not allow"
    if isinstance(error, CoordinatorError):
        return shortened(f"{type(error).__name__}: {error}")
    for kind, classes in _KINDS:
        for link in chain:
            if isinstance(link, OSError) and link.errno in _UNREACHABLE:
                return shortened(f"unreachable: {type(link).__name__}: {link}")
            if isinstance(link, classes):
                return shortened(f"{kind}: {type(link).__name__}: {link}")
    return shortened(f"error: {type(error).__name__}: {error}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and the members of groups; the outermost first."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _chain(member)
    if error.__cause__ is not None:
        yield from _chain(error.__cause__)
