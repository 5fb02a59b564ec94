"""Quantities: what reads as what, and what is refused with a hint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.quantities import (
    comparison,
    number,
    number_or_text,
    parse_duration,
    parse_percent,
    parse_size,
    per_second,
    show_duration,
    truth,
)
from coordinator.scenarios.model import Assertion


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("2s", 2.0), ("1.5m", 90.0), ("1h", 3600.0), (" 3 s ", 3.0), ("0s", 0.0)],
)
def test_durations_read_with_their_unit(text: str, seconds: float) -> None:
    """A duration is a number and one of ms, s, m, h."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "-1s", "1d", "s", "", "1s2s", "1e3s", "٣s", "9" * 400 + "s", None])
def test_what_is_no_duration_is_refused_with_what_is_allowed(text: object) -> None:
    """Anything else is refused, and the message says what a duration looks like."""
    with pytest.raises(ValueError, match="a duration with its unit"):
        parse_duration(text)


def test_a_bare_number_is_told_what_it_may_have_meant() -> None:
    """A number without a unit gets the unit proposed."""
    with pytest.raises(ValueError, match="did you mean 5s"):
        parse_duration("5")
    with pytest.raises(ValueError, match="did you mean 50%"):
        parse_percent("50")


@given(st.integers(min_value=0, max_value=10**9))
def test_a_shown_duration_reads_back(milliseconds: int) -> None:
    """What show_duration writes is a duration of the same length."""
    seconds = milliseconds / 1000
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("seconds", "text"), [(0.25, "250ms"), (2, "2s"), (90, "1.5m"), (3600, "1h"), (0, "0s")])
def test_durations_are_shown_in_the_unit_a_person_would_take(seconds: float, text: str) -> None:
    """The largest unit that stays short is taken."""
    assert show_duration(seconds) == text


@pytest.mark.parametrize(("text", "value"), [("12.5%", 12.5), ("0%", 0.0), ("100 %", 100.0)])
def test_percentages_read_with_their_sign(text: str, value: float) -> None:
    """A percentage is a number from 0 to 100 and its sign."""
    assert parse_percent(text) == value


@pytest.mark.parametrize("text", ["101%", "-1%", "%", "half"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    """Anything else is refused, and the message says what a percentage looks like."""
    with pytest.raises(ValueError, match="a percentage like"):
        parse_percent(text)


@pytest.mark.parametrize(
    ("text", "actual", "holds"),
    [
        (">= 99%", 99.0, True),
        (">= 99%", 98.9, False),
        ("<1%", 0.5, True),
        ("== 100%", 100.0, True),
        ("!= 0%", 0.0, False),
        ("> 5%", 5.0, False),
        ("<= 5%", 5.0, True),
    ],
)
def test_a_comparison_holds_or_not(text: str, actual: float, *, holds: bool) -> None:  # a table's column
    """Each of the six operators compares the actual value with the limit."""
    assert comparison(parse_percent, ">= 99%")(text).holds(actual) is holds


@pytest.mark.parametrize("text", ["99%", "=> 99%", "= 99%", "", ">=", ">= 99", "< <5%", None])
def test_a_comparison_that_cannot_be_read_says_how_one_looks(text: object) -> None:
    """A missing, misspelt or lonely operator, or a limit without its unit, is refused with an example."""
    with pytest.raises(ValueError, match="like '>= 99%'"):
        comparison(parse_percent, ">= 99%")(text)


def test_a_default_operator_stands_in_for_a_missing_one() -> None:
    """Where the meaning is plain the operator may be left out."""
    assert comparison(parse_duration, "<= 2s", "<=")("2s").shown == "<= 2s"


@pytest.mark.parametrize(
    ("text", "actual", "holds"),
    [
        ("5", 5.0, True),
        ("5", "5", True),
        ("'5'", "5", True),
        ("ok", "ok", True),
        ("ok", 5.0, False),
        ("!= ok", 5.0, True),
        ("> 5", "many", False),
        ("!= 5", "many", True),
    ],
)
def test_values_compare_as_what_they_read_as(
    text: str, actual: float | str, *, holds: bool
) -> None:  # a table's column
    """Numbers compare as numbers even when they came as text; text is never equal to a number."""
    assert comparison(number_or_text, "== ok", "==")(text).holds(actual) is holds


def test_rates_and_numbers_read_plainly() -> None:
    """A rate may say /s; a number is digits and nothing else."""
    assert per_second("5/s") == per_second("5") == 5.0
    assert number("-1.5") == -1.5
    with pytest.raises(ValueError, match="a number"):
        number("five")


def test_a_claim_that_cannot_be_denied_takes_only_true() -> None:
    """`true` in any case is taken, anything else refused."""
    assert truth("True") is True
    with pytest.raises(ValueError, match="true"):
        truth("false")


@pytest.mark.parametrize("actual", [3.3333333333333335, 1e-09, 0.1 + 0.2])
def test_a_measured_number_is_compared_as_it_is(actual: float) -> None:
    """However many digits or whatever exponent a measured number has, it stays a number."""
    claim = Assertion.model_validate({"probe": "p", "error_rate": "<= 20%"}).error_rate
    assert claim is not None
    assert claim.holds(actual)


def test_a_size_is_bytes_in_powers_of_1024() -> None:
    """With its unit, in either case; a bare number is answered with a guess."""
    assert [parse_size(text) for text in ("64k", "512M", "1.5 g")] == [65536, 536870912, 1610612736]
    with pytest.raises(ValueError, match="did you mean 64m"):
        parse_size("64")
    with pytest.raises(ValueError, match="a size with its unit"):
        parse_size("-1m")
