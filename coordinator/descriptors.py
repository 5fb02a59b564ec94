"""The descriptors this process may hold: connections of clients must leave enough for the commands that undo faults."""

from __future__ import annotations

import resource
from typing import Final

WANTED: Final = 65_536
"""More are never asked for: children inherit the limit, and some count up to it when they start."""


def raise_limit() -> int:
    """Raise the soft limit as far as the hard one and `WANTED` let it; how many may be open now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return limit()


def limit() -> int:
    """How many may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED if soft == resource.RLIM_INFINITY else soft
