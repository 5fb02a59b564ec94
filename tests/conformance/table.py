"""Writes docs/reference/supervision-conformance.md: each behaviour of the list, and the tests that prove it.

python -m tests.conformance.table
"""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

from tests.conformance.rows import NONE, ROWS, TESTS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "reference" / "supervision-conformance.md"

HEAD = """\
# Supervision: conformance list

Written by `python -m tests.conformance.table`; do not edit. What the words mean is told in
[Supervision](../explanation/supervision.md).

Rows 1 to 88 are the cases of `supervisor_SUITE.erl` in Erlang/OTP 25.2.3, with their names. P rows are what only Python
has to get right. R rows are cases of the Rust library ractor. Every test runs on asyncio and on trio, on virtual clocks
but for P8 and P9. `tests/conformance/test_planted_bugs.py` plants four bugs and shows that the list catches each.
"""


def render() -> str:
    """The page."""
    for module in sorted(HERE.glob("test_*.py")):
        importlib.import_module(f"tests.conformance.{module.stem}")
    counts = Counter(row.taken for row in ROWS)
    lines = [HEAD, ", ".join(f"{count} {taken}" for taken, count in counts.items()) + ".", ""]
    lines += ["| # | case | what it pins | taken over | tests |", "| --- | --- | --- | --- | --- |"]
    for row in ROWS:
        tests = "<br>".join(f"`{test}`" for test in sorted(set(TESTS.get(row.id, ()))))
        taken = f"{row.taken}: {row.note}" if row.note else row.taken
        lines.append(f"| {row.id} | {row.name} | {row.pins} | {taken} | {tests or 'none'} |")
    return "\n".join(lines) + "\n"


def untested() -> list[str]:
    """Rows that apply and that no test proves."""
    render()
    return [row.id for row in ROWS if row.taken != NONE and row.id not in TESTS]


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
