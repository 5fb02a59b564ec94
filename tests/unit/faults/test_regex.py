"""Regular expressions of scenarios."""

import pytest
from pydantic import TypeAdapter, ValidationError

from coordinator.faults.regex import Regex


@pytest.mark.parametrize("text", ["(", "a{99999999999999}", "(?P<a>x)(?P<a>y)"])
def test_what_does_not_read_is_refused_with_the_reason(text: str) -> None:
    """What reads is kept as it is."""
    regexes = TypeAdapter(Regex)
    assert regexes.validate_python("^a|b$") == "^a|b$"
    with pytest.raises(ValidationError, match=r"a regular expression \("):
        regexes.validate_python(text)
