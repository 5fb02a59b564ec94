"""Patterns that users write and that are tried on text of other people's programs: RE2's, which take time in proportion
to the text whatever the pattern is. Python's own may take for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator, Field

Matches = Callable[[str], bool]
"""Whether a pattern is found somewhere in a text."""

MEMORY: Final = 1 << 20
"""Bytes a pattern may take; one that needs more, as by counted repetitions, is refused."""


def finder(pattern: str) -> Matches:
    """What finds the pattern. Raises ValueError that says what is wrong with it."""
    # Loaded for whom it is needed: most scenarios have no pattern.
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MEMORY
    try:
        search = re2.compile(pattern, options).search
    except re2.error as error:
        said = error.args[0] if error.args else ""
        reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        message = f"a regular expression that RE2 takes, without look-around and back-references ({reason})"
        raise ValueError(message) from None
    return lambda text: search(text) is not None


def _checked(pattern: str) -> str:
    finder(pattern)
    return pattern


Pattern = Annotated[str, AfterValidator(_checked), Field(min_length=1, max_length=1000)]
