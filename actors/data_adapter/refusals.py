"""What an error of Postgres means for the adapter: wait, ask a person, or leave this one record out. Knows no query."""

from __future__ import annotations

import re
from typing import Final

import psycopg2

from actors.data_adapter.store import BadRecord, Denied, Unreachable, first_line, without
from coordinator.errors import CoordinatorError

_MENDED_IN_URL: Final = re.compile(
    r"authentication failed|no password supplied|database \".*\" does not exist|role \".*\" does not exist"
    r"|no pg_hba.conf entry|not permitted to log in|does not support SSL|certificate|server requires"
)
"""How libpq and the server word a refusal to connect: the driver hands out no code for it. A text that is not known
here, as in another language, is only tried again sooner.
"""
_RIGHTS: Final = "42501"
_READ_ONLY: Final = "25006"
_BAD_RECORD: Final = ("22", "23")
"""Classes: data exception, integrity constraint violation."""


def meaning(error: psycopg2.Error | OSError, password: str) -> CoordinatorError:
    """The error to raise in its place, in one line and without the password."""
    line = without(first_line(error), password)
    code = getattr(error, "pgcode", None) or ""
    if not code:
        told = line.rsplit("FATAL:", 1)[-1].strip()
        if _MENDED_IN_URL.search(line):
            return Denied(f"{told}; correct POSTGRES_URL or the server's settings")
        return Unreachable(told)
    if code == _RIGHTS:
        return Denied(f"{line}; grant it to the role of POSTGRES_URL")
    if code == _READ_ONLY:
        return Unreachable("the server is read-only")
    if code[:2] in _BAD_RECORD:
        return BadRecord(line)
    return Unreachable(line)
