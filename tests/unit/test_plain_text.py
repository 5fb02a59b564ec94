import re

from hypothesis import given
from hypothesis import strategies as st

from coordinator.plain_text import REPLACEMENT, harmless, one_line


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_harmless_text_can_be_written_everywhere(text: str) -> None:
    """No control, no half of a character, nothing that turns the direction of writing; twice is as good as once."""
    found = harmless(text)
    found.encode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]", found)
    assert harmless(found) == found


def test_all_else_stays() -> None:
    """Letters of any language, tabs and line feeds are kept; other ends of lines become line feeds."""
    assert harmless("Straße\t東京 🙂\r\nनमस्ते\rz") == "Straße\t東京 🙂\nनमस्ते\nz"
    assert harmless("a\x1bb\ud800") == f"a{REPLACEMENT}b{REPLACEMENT}"
    assert one_line(" a\r\n b\tc ") == "a b c"
