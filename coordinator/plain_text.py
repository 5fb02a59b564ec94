"""Other people's text made harmless, for terminals and documents: a container's name, a probe's error or a reason may
hold anything. Standard library only; knows no format's markup.
"""

from __future__ import annotations

import re
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
# Controls but tab and line feed, halves of characters, what is no character, and what turns the direction of writing
# round: text with the last reads as something that it is not.
_HARMFUL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    + "".join(chr(plane << 16 | low) for plane in range(1, 17) for low in (0xFFFE, 0xFFFF))
    + "]"
)


def harmless(text: str) -> str:
    """The text without characters that no document may hold, or that make a reader see another text; lines end with a
    line feed.
    """
    return _HARMFUL.sub(REPLACEMENT, text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """The text, harmless, on one line."""
    return harmless(" ".join(text.split()))
