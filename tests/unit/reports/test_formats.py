from coordinator.reports import FORMATS
from tests.unit.cli import played


def test_every_format_is_text_of_its_kind() -> None:
    """Each begins as its kind does and ends with a newline; names and suffixes are those of the contract."""
    report = played.report(played.execution())
    begins = {"html": "<!doctype html>\n", "json": "{\n", "junit": "<?xml ", "markdown": "# kill-one-replica"}
    assert {name: form.render(report)[: len(begins[name])] for name, form in FORMATS.items()} == begins
    assert all(form.render(report).endswith("\n") for form in FORMATS.values())
    assert {form.suffix for form in FORMATS.values()} == {"html", "json", "junit.xml", "md"}
