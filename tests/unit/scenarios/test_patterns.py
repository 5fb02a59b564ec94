import pytest

from coordinator.scenarios.patterns import finder


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("error|panic", "a panic", True),
        ("^error", "an error", False),
        ("(?i)ERROR", "an error", True),
        (r"\bé+\b", "an éé", False),
        (r"status=5\d\d$", "GET / status=503", True),
        (".", "\x00", True),
    ],
)
def test_a_pattern_is_searched_for(pattern: str, text: str, found: bool) -> None:
    """Anywhere in the text, unless anchored, in RE2's syntax."""
    assert finder(pattern)(text) is found


@pytest.mark.parametrize("pattern", ["a(?=b)", r"(a)\1", "(", "[", "(((a{100}){100}){100})", "a" * 10 + "{1001}"])
def test_what_may_take_for_ever_is_refused(pattern: str) -> None:
    """Look-around, back-references, what cannot be read and what would grow too large say why."""
    with pytest.raises(ValueError, match="a regular expression that RE2 takes"):
        finder(pattern)


def test_time_is_in_proportion() -> None:
    """A pattern that takes Python's own engine for ever is done at once."""
    assert not finder("(a*)*b")("a" * 100_000)
