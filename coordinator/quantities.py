"""Quantities with units as scenario files write them: durations, percentages, comparisons. Pure text to value."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from coordinator.faults.facts import Value

DURATION_ALLOWED: Final = "a duration with its unit, like 250ms, 2s, 1.5m or 1h"
OFFSET_ALLOWED: Final = "a duration with its unit, like 90s or 1h, with a minus for the other way: -1h"
PERCENT_ALLOWED: Final = "a percentage like 12.5%, from 0% to 100%"
SIZE_ALLOWED: Final = "a size with its unit, like 64k, 512m or 1g"
SIZE_OR_SHARE_ALLOWED: Final = f"{SIZE_ALLOWED}, or a share like 80%"
RATE_ALLOWED: Final = "a rate with its unit, like 64kbit, 1mbit or 2.5gbit, from 8kbit to 100gbit"
_RATE_UNITS: Final = {"kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}
_LEAST_RATE: Final = 8_000
_MOST_RATE: Final = 100_000_000_000
_SIZE_UNITS: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# At most 15 digits: more than a float holds exactly, and a text of thousands never becomes infinity.
_DIGITS: Final = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_DURATION: Final = re.compile(rf"({_DIGITS})\s*(ms|s|m|h)")
_SIZE: Final = re.compile(rf"({_DIGITS})\s*(k|m|g)")
_RATE: Final = re.compile(rf"({_DIGITS})\s*([kmg]bit)")
_PERCENT: Final = re.compile(rf"({_DIGITS})\s*%")
_NUMBER: Final = re.compile(rf"-?{_DIGITS}")
_WHOLE: Final = 100.0


def parse_duration(text: object) -> float:
    """Seconds of a text like `250ms`; raises ValueError that says what is allowed."""
    match = _DURATION.fullmatch(str(text).strip())
    if match is None:
        bare = _NUMBER.fullmatch(str(text).strip())
        hint = f" (a bare number has no unit: did you mean {text}s?)" if bare else ""
        message = f"{DURATION_ALLOWED}{hint}"
        raise ValueError(message)
    return float(match[1]) * _DURATION_UNITS[match[2]]


def parse_offset(text: object) -> float:
    """Seconds of a duration that may have a sign; raises ValueError that says what is allowed."""
    written = str(text).strip()
    unsigned = written.removeprefix("-") if written.startswith("-") else written.removeprefix("+")
    if _DURATION.fullmatch(unsigned) is None:
        message = OFFSET_ALLOWED
        raise ValueError(message)
    return parse_duration(unsigned) * (-1 if written.startswith("-") else 1)


def parse_percent(text: object) -> float:
    """The number before the `%`; raises ValueError outside 0 to 100 or without the sign."""
    match = _PERCENT.fullmatch(str(text).strip())
    if match is None or float(match[1]) > _WHOLE:
        bare = _NUMBER.fullmatch(str(text).strip())
        hint = f" (a bare number has no unit: did you mean {text}%?)" if bare else ""
        message = f"{PERCENT_ALLOWED}{hint}"
        raise ValueError(message)
    return float(match[1])


def parse_size(text: object) -> int:
    """Bytes of a text like `64m`, in powers of 1024; raises ValueError that says what is allowed."""
    match = _SIZE.fullmatch(str(text).strip().lower())
    if match is None:
        bare = _NUMBER.fullmatch(str(text).strip())
        hint = f" (a bare number has no unit: did you mean {text}m?)" if bare else ""
        message = f"{SIZE_ALLOWED}{hint}"
        raise ValueError(message)
    return int(float(match[1]) * _SIZE_UNITS[match[2]])


def parse_size_or_share(text: object) -> int | str:
    """Bytes of a text like `64m`, or a share as it was written, `80%`; raises ValueError that says what is allowed."""
    if str(text).strip().endswith("%"):
        return f"{parse_percent(text):g}%"
    try:
        return parse_size(text)
    except ValueError as error:
        message = str(error).replace(SIZE_ALLOWED, SIZE_OR_SHARE_ALLOWED)
        raise ValueError(message) from None


def at_least(least: str) -> AfterValidator:
    """A size of no less than this, or a share of something at all."""

    def check(value: int | str) -> int | str:
        if isinstance(value, int) and value < parse_size(least):
            message = f"at least {least}"
            raise ValueError(message)
        if isinstance(value, str) and parse_percent(value) == 0:
            message = "a share of more than 0%"
            raise ValueError(message)
        return value

    return AfterValidator(check)


def parse_rate(text: object) -> int:
    """Bits per second of a text like `10mbit`, in powers of 1000; raises ValueError that says what is allowed."""
    match = _RATE.fullmatch(str(text).strip().lower())
    rate = round(float(match[1]) * _RATE_UNITS[match[2]]) if match else 0
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        bare = _NUMBER.fullmatch(str(text).strip())
        hint = f" (a bare number has no unit: did you mean {text}mbit?)" if bare else ""
        message = f"{RATE_ALLOWED}{hint}"
        raise ValueError(message)
    return rate


def show_duration(seconds: float) -> str:
    """A short text that parses back (to the millisecond above 1 s): `250ms`, `2s`, `1.5m`, `1h`."""
    for unit, size in (("h", 3600.0), ("m", 60.0)):
        if seconds >= size and math.isclose(seconds / size, round(seconds / size, 1)):
            return f"{seconds / size:g}{unit}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.6g}ms"
    # No exponent: `1e+06s` would not parse back.
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def show_size(size: int) -> str:
    """A short text that a file could hold, rounded to a tenth of its unit: `64k`, `1.5g`; single bytes below 1k."""
    for unit, factor in reversed(_SIZE_UNITS.items()):
        if size >= factor:
            return f"{size / factor:.1f}".removesuffix(".0") + unit
    return f"{size} bytes"


DURATION_PATTERN: Final = r"^\d+(\.\d+)?\s*(ms|s|m|h)$"
PERCENT_PATTERN: Final = r"^\d+(\.\d+)?\s*%$"
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "description": DURATION_ALLOWED}),
]
"""Seconds, written with a unit."""

OFFSET_PATTERN: Final = r"^[-+]?\d+(\.\d+)?\s*(ms|s|m|h)$"
Offset = Annotated[
    float,
    BeforeValidator(parse_offset),
    WithJsonSchema({"type": "string", "pattern": OFFSET_PATTERN, "description": OFFSET_ALLOWED}),
]
"""Seconds forward, or with a minus back, written with a unit."""

Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    WithJsonSchema({"type": "string", "pattern": PERCENT_PATTERN, "description": PERCENT_ALLOWED}),
]
"""0 to 100, written with its sign."""

SIZE_PATTERN: Final = r"^\d+(\.\d+)?\s*[kmgKMG]$"
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN, "description": SIZE_ALLOWED}),
]
"""Bytes, written with a unit."""

SIZE_OR_SHARE_PATTERN: Final = r"^\d+(\.\d+)?\s*[kmgKMG%]$"
SizeOrShare = Annotated[
    int | str,
    BeforeValidator(parse_size_or_share),
    WithJsonSchema({"type": "string", "pattern": SIZE_OR_SHARE_PATTERN, "description": SIZE_OR_SHARE_ALLOWED}),
]
"""Bytes, or a share with its sign: `80%`."""

RATE_PATTERN: Final = r"^\d+(\.\d+)?\s*[kmgKMG][bB][iI][tT]$"
Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": RATE_PATTERN, "description": RATE_ALLOWED}),
]
"""Bits per second, written with a unit."""


def shown_as(pattern: str, value: float) -> str:
    """A number as a file writes it where its texts have this pattern; a plain one where that is no quantity's."""
    if pattern in {DURATION_PATTERN, OFFSET_PATTERN}:
        return f"-{show_duration(-value)}" if value < 0 else show_duration(value)
    if pattern == SIZE_PATTERN:
        return show_size(int(value))
    return f"{value:g}%" if pattern == PERCENT_PATTERN else f"{value:.15g}"


def truth(value: object) -> bool:
    """True of the text `true` in any case (a claim that can only be made, not denied); raises ValueError."""
    if str(value).strip().lower() != "true":
        message = "true"
        raise ValueError(message)
    return True


_OPERATORS: Final[dict[str, Callable[[float | str, float | str], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
_COMPARISON: Final = re.compile(r"(==|!=|<=|>=|<|>)?\s*(.+)")


class Comparison(Value):
    """An operator and a limit, like `>= 99%`; `shown` is the text it came from."""

    op: str
    limit: float | str
    shown: str

    def holds(self, actual: float | str) -> bool:
        """Whether the actual value satisfies it. A text that reads as a number is one where the limit is one;
        otherwise text and number are never equal, and have no order.
        """
        if isinstance(self.limit, float) and isinstance(actual, str):
            actual = number_or_text(actual)
        if isinstance(actual, str) != isinstance(self.limit, str):
            return self.op == "!="
        return _OPERATORS[self.op](actual, self.limit)


def comparison(
    unit: Callable[[object], float | str], example: str, default_op: str | None = None
) -> Callable[[object], Comparison]:
    """A parser of `OP LIMIT` whose limit `unit` reads; without `default_op` the operator must be written."""

    def parse(text: object) -> Comparison:
        if isinstance(text, Comparison):
            return text
        match = _COMPARISON.fullmatch(str(text).strip())
        op = match[1] or default_op if match else None
        # A limit that begins like an operator is a slip of the pen, as in `=> 5`.
        if match is None or op is None or match[2][0] in "=<>!":
            message = f"an operator (==, !=, <, <=, >, >=) and a limit, like {example!r}"
            raise ValueError(message)
        try:
            limit = unit(match[2])
        except ValueError as error:
            message = f"an operator (==, !=, <, <=, >, >=) and {error}, like {example!r}"
            raise ValueError(message) from None
        return Comparison(op=op, limit=limit, shown=f"{op} {match[2].strip()}")

    return parse


def number(text: object) -> float:
    """A plain number; raises ValueError."""
    if _NUMBER.fullmatch(str(text).strip()) is None:
        message = "a number"
        raise ValueError(message)
    return float(str(text))


def per_second(text: object) -> float:
    """A rate in samples per second, `5` or `5/s`; raises ValueError."""
    return number(str(text).strip().removesuffix("/s").strip())


def number_or_text(text: object) -> float | str:
    """A number where it reads as one, else the text without its quotes."""
    plain = str(text).strip()
    return float(plain) if _NUMBER.fullmatch(plain) else plain.strip("'\"")


_OPERATOR_PATTERN: Final = r"\s*(==|!=|<=|>=|<|>)"


def _comparison_schema(example: str, limit: str | None = None) -> WithJsonSchema:
    """The JSON Schema of a comparison; `limit` is the pattern from behind the operator on, where it has a unit."""
    says = f"an operator and a limit, like {example!r}"
    if limit is None:
        return WithJsonSchema({"type": ["string", "number"], "description": says})
    return WithJsonSchema({"type": "string", "pattern": f"^{_OPERATOR_PATTERN}{limit}", "description": says})


_PERCENT_LIMIT: Final = r"\s*" + PERCENT_PATTERN.removeprefix("^")
_DURATION_LIMIT: Final = r"\s*" + DURATION_PATTERN.removeprefix("^")

PercentComparison = Annotated[
    Comparison, BeforeValidator(comparison(parse_percent, ">= 99%")), _comparison_schema(">= 99%", _PERCENT_LIMIT)
]
DurationComparison = Annotated[
    Comparison,
    BeforeValidator(comparison(parse_duration, "<= 200ms", "<=")),
    _comparison_schema("<= 200ms", "?" + _DURATION_LIMIT),
]
StrictDurationComparison = Annotated[
    Comparison, BeforeValidator(comparison(parse_duration, "> 2s")), _comparison_schema("> 2s", _DURATION_LIMIT)
]
"""As DurationComparison, but the operator must be written: a default would mean the opposite in an abort condition."""
RateComparison = Annotated[Comparison, BeforeValidator(comparison(per_second, ">= 5/s")), _comparison_schema(">= 5/s")]
CountComparison = Annotated[Comparison, BeforeValidator(comparison(number, "== 3", "==")), _comparison_schema("== 3")]
ValueComparison = Annotated[
    Comparison, BeforeValidator(comparison(number_or_text, "== ok", "==")), _comparison_schema("== ok")
]
