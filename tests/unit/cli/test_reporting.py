import json
from pathlib import Path

import pytest

from coordinator.reports import FORMATS, as_markdown
from tests.unit.cli import played
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import ScriptedControl


def test_a_report_is_printed_in_the_form_asked_for(call: Call) -> None:
    """Markdown by default, any format with --format; each is the one that is served and kept."""
    control = ScriptedControl([played.execution()])
    report = played.report(played.execution())
    assert call("report", played.EXECUTION_ID, control=control).out == as_markdown(report)
    for name, form in FORMATS.items():
        assert call("report", played.EXECUTION_ID, "--format", name, control=control).out == form.render(report)


@pytest.mark.parametrize("form", ["pdf", "xml", ""])
def test_a_form_that_is_not_there_names_those_that_are(call: Call, form: str) -> None:
    """Another format ends with 2 and lists what exists."""
    said = call("report", played.EXECUTION_ID, "--format", form)
    assert said.code == 2
    assert "'html', 'json', 'junit', 'markdown'" in said.err


def message(level: list[int], **fields: object) -> str:
    """A line of the log."""
    return json.dumps({"task_uuid": played.EXECUTION_ID, "task_level": level, "timestamp": 1.0 + level[-1], **fields})


def test_logs_print_the_causal_tree(call: Call, workplace: Path) -> None:
    """The execution's messages, and no others, as a tree."""
    folder = workplace / "data" / "logs"
    folder.mkdir(parents=True)
    (folder / "test-coordinator.jsonl").write_text(
        "\n".join(
            [
                message([1], action_type="execution", action_status="started"),
                message([2, 1], action_type="phase", action_status="started", phase="outage"),
                message([2, 2], action_type="phase", action_status="succeeded"),
                message([3], action_type="execution", action_status="succeeded"),
                message([1], message_type="other").replace(played.EXECUTION_ID, "somebody-else"),
            ]
        )
        + '\n{"torn'
    )
    said = call("logs", played.EXECUTION_ID)
    assert said.code == 0
    assert said.out.splitlines()[0] == played.EXECUTION_ID
    assert "phase: outage" in said.out
    assert "other" not in said.out


def test_no_log_of_it_is_an_error(call: Call) -> None:
    """An execution the log knows nothing of ends with 2."""
    said = call("logs", "nonsuch")
    assert (said.code, said.out) == (2, "")
    assert "execution nonsuch: nothing of it in " in said.err
