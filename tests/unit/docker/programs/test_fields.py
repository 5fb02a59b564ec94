"""Strict reading of JSON objects."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.docker.programs.fields import Fields, Malformed


@pytest.mark.parametrize(
    ("read", "given_value", "error"),
    [
        (lambda f: f.number("x", None, 0, 5), {}, "p.x: missing; a number from 0 to 5 is due"),
        (lambda f: f.number("x", None, 0, 5), {"x": 6}, "p.x: a number from 0 to 5 is due, not 6"),
        (lambda f: f.number("x", None, 0, 5), {"x": True}, "p.x: a number from 0 to 5 is due, not True"),
        (lambda f: f.number("x", None, 0, 5), {"x": float("nan")}, "p.x: a number from 0 to 5 is due, not nan"),
        (lambda f: f.text("x", None, ("a", "b")), {"x": "c"}, "p.x: one of a, b is due, not 'c'"),
        (lambda f: f.text("x", None), {"x": 1}, "p.x: a text is due, not 1"),
        (lambda f: f.texts("x", None), {"x": ["a", 1]}, "p.x: a list of texts is due, not ['a', 1]"),
        (lambda f: f.whole_numbers("x", 1, 9), {"x": [0]}, "p.x: a list of whole numbers from 1 to 9 is due, not [0]"),
        (
            lambda f: f.whole_numbers("x", 1, 9),
            {"x": [True]},
            "p.x: a list of whole numbers from 1 to 9 is due, not [True]",
        ),
        (lambda f: f.inner("x"), {"x": 3}, "p.x: an object is due, not 3"),
        (lambda f: f.end(), {"x": 3}, "p.x: unknown field"),
    ],
)
def test_errors_name_the_field(read: Callable[[Fields], object], given_value: object, error: str) -> None:
    """From the outermost object on, with what it holds and what is due."""
    with pytest.raises(Malformed, match=f"^{re.escape(error)}$"):
        read(Fields(given_value, "p"))


def test_what_is_there_is_taken_once() -> None:
    """Defaults stand in for what is missing, and nothing is left at the end."""
    fields = Fields({"a": 1, "b": "t", "c": ["u"], "d": [7], "e": {"f": 2}, "g": [None]}, "p")
    assert fields.number("a", 5, 0, 9) == 1
    assert fields.number("missing", 5, 0, 9) == 5
    assert fields.text("b", None) == "t"
    assert fields.texts("c", None) == ["u"]
    assert fields.whole_numbers("d", 1, 9) == [7]
    inner = fields.inner("e")
    assert inner is not None
    assert inner.number("f", None, 0, 9) == 2
    assert fields.anything("g") == [None]
    fields.end()


@given(st.none() | st.booleans() | st.floats() | st.text(max_size=200) | st.lists(st.integers(), max_size=50))
def test_whatever_is_no_object_is_refused(value: object) -> None:
    """In one line of bounded length, never with another error."""
    with pytest.raises(Malformed) as refused:
        Fields(value, "p")
    assert len(str(refused.value)) < 100
