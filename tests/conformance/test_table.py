"""The list is complete, and the page that shows it is up to date."""

from __future__ import annotations

from collections import Counter

from tests.conformance.rows import NONE, ROWS
from tests.conformance.table import PAGE, render, untested


def test_every_row_that_applies_is_tested() -> None:
    """Each row of the list has a test, or a reason why it does not apply."""
    assert untested() == []
    assert all(row.note for row in ROWS if row.taken == NONE)


def test_the_list_is_whole() -> None:
    """All 88 cases of OTP, 20 of Python and 4 of ractor are listed, each once."""
    ids = [row.id for row in ROWS]
    assert Counter(ids).most_common(1)[0][1] == 1
    assert [one for one in ids if one.isdigit()] == [str(number) for number in range(1, 89)]
    assert [one for one in ids if one.startswith("P")] == [f"P{number}" for number in range(1, 21)]
    assert [one for one in ids if one.startswith("R")] == [f"R{number}" for number in range(1, 5)]


def test_the_page_is_up_to_date() -> None:
    """The page in the documentation is what `python -m tests.conformance.table` writes."""
    assert PAGE.read_text(encoding="utf-8") == render()
