"""Regular expressions as a scenario writes them: only that they can be read is decided here."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def _compiles(pattern: str) -> str:
    """Raises ValueError."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        message = f"a regular expression ({error})"
        raise ValueError(message) from None
    return pattern


Regex = Annotated[str, AfterValidator(_compiles)]
