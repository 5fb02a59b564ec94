from hypothesis import example, given, settings
from markdown_it import MarkdownIt

from coordinator.record import ExecutionState, FaultState, Report, UndoState, Verdict
from coordinator.reports import as_markdown
from tests.unit.cli import played
from tests.unit.reports import hostile


def sections(text: str) -> dict[str, str]:
    """The second-level sections by title."""
    return {part.split("\n", 1)[0]: part.split("\n", 1)[1] for part in text.split("\n## ")[1:]}


def test_the_verdict_comes_first() -> None:
    """The first line has scenario and verdict, the next the reason, then the facts."""
    failed = played.execution(verdict=Verdict.FAILED, reason="phase outage: api was away")
    assert as_markdown(played.report(failed)).splitlines()[:9] == [
        "# kill-one-replica: failed",
        "",
        "phase outage: api was away",
        "",
        "What was asserted did not hold.",
        "",
        f"- Execution: `{played.EXECUTION_ID}`",
        "- Undo: complete: Everything that was changed is put back.",
        "- Recovery of api (recovery): 1.3s",
    ]


def test_a_fault_shows_due_effect_and_undo_of_each_target() -> None:
    """Times of a target count from the execution's start; due to effect is the difference."""
    rows = sections(as_markdown(played.report(played.execution())))["Faults"].strip().splitlines()
    assert rows[2] == (
        "| container\\_kill | journal | outage | undone | web-1 | 4.000 s | 4.120 s | 120 ms | 14.000 s | killed |"
    )


def test_assertions_show_expected_and_actual() -> None:
    """Each assertion is a row; one that did not hold stands out."""
    text = sections(as_markdown(played.report(played.execution(verdict=Verdict.FAILED))))["Assertions"]
    assert "| passed | outage | api | availability | \\>= 90% | 96.8% |" in text
    assert "| **failed** | recovery | api | recovers\\_within | \\<= 20s | 1.3s |" in text


def test_probes_are_summed_up() -> None:
    """Availability, counts, latencies of good samples by nearest rank, and the bad span."""
    row = sections(as_markdown(played.report(played.execution())))["Probes"].strip().splitlines()[2]
    assert row == "| api | 81.25 % | 16 | 3 | 100 ms | 160 ms | 160 ms | 4.00 s | 6.00 s |"


def test_phases_have_their_span_faults_and_assertions() -> None:
    """A phase shows its first and last event, its faults, and how many assertions held."""
    rows = sections(as_markdown(played.report(played.execution())))["Phases"].strip().splitlines()
    assert rows[2] == "| outage | 3.00 s | 14.00 s | container\\_kill | 1 of 1 |"


def test_the_timeline_is_complete() -> None:
    """Every event is a row."""
    rows = sections(as_markdown(played.report(played.execution())))["Timeline"].strip().splitlines()
    assert len(rows) == 2 + len(played.TIMELINE)


def test_what_is_left_broken_stands_before_all_details() -> None:
    """The commands a person must run come right after the head; the section of commands says what is owed."""
    broken = played.execution(undo=UndoState.INCOMPLETE, fault_state=FaultState.STUCK)
    text = as_markdown(played.report(broken, (played.UNDO,)))
    assert next(iter(sections(text))) == "Left broken"
    assert f"```sh\n{played.UNDO}\n```" in sections(text)["Left broken"]
    assert "(undo still owed)" in sections(text)["Commands"]
    assert "Left broken" not in sections(as_markdown(played.report(played.execution())))


def test_the_environment_says_how_to_play_it_again() -> None:
    """Instance, engine, targets, times, plan and the command line with seed and variables."""
    text = sections(as_markdown(played.report(played.execution())))["Environment"]
    assert "- instance: chaos-1 1.2.3, testing" in text
    assert "- engine: Docker 29.1.0, ENGINE" in text
    assert "- seed: 7" in text
    assert "- target replica: web-1" in text
    assert "- plan: `abc123`" in text
    assert "again (`kill-one-replica` is built in, or else stands for its file)" in text
    assert "test-coordinator run kill-one-replica --seed 7 --var service=web" in text


def test_the_commands_are_those_that_injected_and_those_that_undo() -> None:
    """Of each fault both are there, to be read and to be pasted."""
    text = sections(as_markdown(played.report(played.execution())))["Commands"]
    assert f"inject:\n\n```sh\n{played.INJECT}\n```\n\nundo:\n\n```sh\n{played.UNDO}\n```" in text


def test_one_that_has_not_begun_is_a_report_too() -> None:
    """Without faults, samples and events those sections are left out."""
    text = as_markdown(Report(execution=played.queued()))
    assert text.startswith("# kill-one-replica: not finished (queued)\n")
    assert list(sections(text)) == ["Environment"]


def test_foreign_text_is_no_markup() -> None:
    """Markup and line breaks in a reason or an error stay text, and break no table."""
    evil = "a | b\n# c <script>alert(1)</script> `d` [e](f)"
    text = as_markdown(played.report(played.execution(ExecutionState.FINISHED, reason=evil)))
    assert "a \\| b \\# c \\<script\\>alert(1)\\</script\\> \\`d\\` \\[e\\](f)\n" in text


@settings(deadline=None, max_examples=100)
@example(hostile.NASTY[0])
@example(hostile.NASTY[9])
@example("1. item")
@example("- item")
@example("---")
@given(hostile.texts)
def test_whatever_others_wrote_is_text(text: str) -> None:
    """A reader of Markdown finds the same elements whatever the texts are, and no HTML."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])

    def skeleton(document: str) -> list[str]:
        found = []
        for token in reader.parse(document):
            inner = [one.type for one in token.children or () if one.type not in {"text", "text_special"}]
            found += [token.type, *inner]
        return found

    plain, document = (as_markdown(hostile.report(one)) for one in (hostile.PLAIN, text))
    assert skeleton(document) == skeleton(plain)
    assert not [kind for kind in skeleton(document) if kind.startswith("html")]
    document.encode()
