"""Reads the fields of a JSON object strictly: every one that is there is known, has its type and lies in its range.

Errors name the field from the outermost object on. Knows nothing of what the fields mean.
"""

from __future__ import annotations

from collections.abc import Collection


class Malformed(Exception):
    """What was asked for cannot be meant; the text names the field, what it holds, and what is due."""


class Fields:
    """The fields of one object. Each is taken once; `end` refuses what nobody took."""

    def __init__(self, given: object, where: str) -> None:
        """Raises Malformed when it is no object."""
        if not isinstance(given, dict):
            raise Malformed(f"{where}: an object is due, not {shown(given)}")
        self._left: dict[str, object] = {str(name): value for name, value in given.items()}
        self._where = where

    def number(self, name: str, default: float | None, low: float, high: float) -> float:
        """A number in a range, both ends included; required where there is no default. Raises Malformed."""
        value = self._left.pop(name, default)
        # `not (low <= …)` is what also catches NaN, which Python's json accepts.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self._due(name, f"a number from {low:g} to {high:g}", value)
        return float(value)

    def text(self, name: str, default: str | None, choices: Collection[str] = ()) -> str:
        """A text, one of the choices where there are any. Raises Malformed."""
        value = self._left.pop(name, default)
        if not isinstance(value, str) or (choices and value not in choices):
            raise self._due(name, "one of " + ", ".join(choices) if choices else "a text", value)
        return value

    def texts(self, name: str, default: list[str] | None) -> list[str]:
        """A list of texts. Raises Malformed."""
        value = self._left.pop(name, default)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._due(name, "a list of texts", value)
        return [str(each) for each in value]

    def whole_numbers(self, name: str, low: int, high: int) -> list[int]:
        """A list of whole numbers in a range, empty where it is missing. Raises Malformed."""
        value = self._left.pop(name, [])
        if isinstance(value, list):
            numbers = [each for each in value if isinstance(each, int) and not isinstance(each, bool)]
            if len(numbers) == len(value) and all(low <= each <= high for each in numbers):
                return numbers
        raise self._due(name, f"a list of whole numbers from {low} to {high}", value)

    def inner(self, name: str) -> Fields | None:
        """An object inside; None where it is missing. Raises Malformed."""
        value = self._left.pop(name, None)
        return None if value is None else Fields(value, f"{self._where}.{name}")

    def anything(self, name: str) -> object:
        """Whatever is there, None where it is missing, for somebody else to read."""
        return self._left.pop(name, None)

    def end(self) -> None:
        """Raises Malformed when a field is left that nobody knows."""
        for name in self._left:
            raise Malformed(f"{self._where}.{name}: unknown field")

    def _due(self, name: str, what: str, value: object) -> Malformed:
        if value is None:
            return Malformed(f"{self._where}.{name}: missing; {what} is due")
        return Malformed(f"{self._where}.{name}: {what} is due, not {shown(value)}")


def shown(value: object) -> str:
    """A value as an error shows it, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004  # the width of a phrase
