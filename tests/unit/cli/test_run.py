import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from coordinator.cli.run import summary
from coordinator.cli.tools import Tools, Where
from coordinator.client import NoAnswer
from coordinator.faults.commands import SET_HELPER_IMAGE, in_namespace
from coordinator.record import Execution, ExecutionState, FaultState, Submission, UndoState, Verdict
from tests.unit.cli import played
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import ScriptedConnect, ScriptedControl
from tests.unit.reports.hostile import parsed


class Forgetful(ScriptedControl):
    """Loses its first answer to each kind of question."""

    lost = 0

    def __init__(self, frames: Sequence[Execution]) -> None:
        super().__init__(frames)
        self.keys: list[str | None] = []

    async def submit(self, submission: Submission, *, idempotency_key: str | None = None) -> Execution:
        self.keys.append(idempotency_key)
        if len(self.keys) == 1:
            self.lost += 1
            raise NoAnswer("away")
        return await super().submit(submission)

    async def execution(self, execution_id: str) -> Execution:
        if self.lost == 1:
            self.lost += 1
            raise NoAnswer("away")
        return await super().execution(execution_id)


class Gone(ScriptedControl):
    """Answers one look, and then never again."""

    looks = 0

    async def execution(self, execution_id: str) -> Execution:
        self.looks += 1
        if self.looks > 1:
            raise NoAnswer("no coordinator answers at http://127.0.0.1:1")
        return await super().execution(execution_id)


RUNNING = played.execution(ExecutionState.RUNNING, fault_state=FaultState.ACTIVE, undo=UndoState.PENDING, events=2)


def test_a_passed_run_tells_verdict_and_recovery_on_standard_output(call: Call) -> None:
    """Standard output has verdict, recovery time and the way to the report; exit code 0."""
    said = call("run", "kill.yaml", control=ScriptedControl([RUNNING, played.execution()]))
    assert said.code == 0
    assert said.out.splitlines() == [
        "verdict    passed",
        "recovery   1.3s (api, recovery)",
        "undo       complete",
        f"execution  {played.EXECUTION_ID}",
        f"report     test-coordinator report {played.EXECUTION_ID}",
    ]


def test_progress_is_a_line_an_event_on_standard_error(call: Call) -> None:
    """Away from a terminal every event is one line, printed once, in order."""
    said = call("run", "kill.yaml", control=ScriptedControl([RUNNING, RUNNING, played.execution()]))
    assert [line.split(None, 1) for line in said.err.splitlines()] == [
        ["3.0s", "outage  phase started"],
        ["4.1s", "outage  fault effective  web-1"],
        ["14.0s", "outage  fault undone  web-1"],
        ["16.0s", "finished  passed"],
    ]


def test_what_was_given_reaches_the_coordinator(call: Call) -> None:
    """Text, variables, seed and the expected plan are submitted, to a coordinator that recovers first."""
    control = ScriptedControl([played.execution()])
    connect = ScriptedConnect(control)
    argv = ("run", "kill.yaml", "--var", "service=api=2", "--seed", "9", "--expect-plan", "abc123", "--wait", "2")
    assert call(*argv, tools=Tools(connect=connect)).code == 0
    submission = control.submissions[0]
    assert submission.source == Path("kill.yaml").read_text()
    assert (submission.variables, submission.seed, submission.expect_plan) == ({"service": "api=2"}, 9, "abc123")
    assert connect.asked == [(Where(wait_s=2.0), True)]


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.ABORTED, Verdict.NOT_INJECTED, Verdict.ERROR])
def test_the_exit_code_is_the_verdicts(call: Call, verdict: Verdict) -> None:
    """A run that did not pass ends with its verdict's code and says why."""
    control = ScriptedControl([played.execution(verdict=verdict, reason="because of it")])
    said = call("run", "kill.yaml", control=control)
    assert said.code == {"failed": 1, "aborted": 3, "not_injected": 4, "error": 4}[verdict.value]
    assert said.out.splitlines()[:2] == [f"verdict    {verdict.value}", "reason     because of it"]


def test_a_failed_assertion_is_shown(call: Call) -> None:
    """Each assertion that did not hold is named with what was found."""
    said = call("run", "kill.yaml", control=ScriptedControl([played.execution(verdict=Verdict.FAILED)]))
    assert "failed     recovery: api recovers_within <= 20s, actual 1.3s\n" in said.out


def test_what_is_left_broken_is_printed_with_exit_code_5(call: Call) -> None:
    """An incomplete undo ends with 5, even of a passed run, and prints the commands that put it back."""
    broken = played.execution(undo=UndoState.INCOMPLETE, fault_state=FaultState.STUCK)
    said = call("run", "kill.yaml", control=ScriptedControl([broken], left_broken=(played.UNDO,)))
    assert said.code == 5
    assert said.out.endswith(f"left broken; run:\n  {played.UNDO}\n")
    by_helper = in_namespace("a" * 64, "remove", "f-1").shown()
    said = call("run", "kill.yaml", control=ScriptedControl([broken], left_broken=(by_helper,)))
    assert said.out.endswith(f"left broken; run:\n  {SET_HELPER_IMAGE}\n  {by_helper}\n")


def test_json_puts_only_the_report_on_standard_output(call: Call) -> None:
    """`--json` prints the report object; the summary moves to standard error."""
    said = call("run", "kill.yaml", "--json", control=ScriptedControl([played.execution()]))
    document = json.loads(said.out)
    assert (document["id"], document["verdict"]) == (played.EXECUTION_ID, "passed")
    assert len(document["probes"]["api"]["samples"]) == 16
    assert "verdict    passed" in said.err


def test_report_dir_gets_the_report_in_every_format(call: Call, workplace: Path) -> None:
    """`--report-dir` is made, holds the report as HTML, JSON, JUnit XML and Markdown, and the paths are told."""
    said = call("run", "kill.yaml", "--report-dir", "out/reports", control=ScriptedControl([played.execution()]))
    names = [f"out/reports/{played.EXECUTION_ID}.{suffix}" for suffix in ("html", "json", "junit.xml", "md")]
    assert [line.split()[1] for line in said.out.splitlines() if line.startswith("report")] == names
    kept = [(workplace / name).read_text() for name in names]
    assert kept[0].startswith("<!doctype html>\n")
    assert json.loads(kept[1])["seed"] == 7
    assert parsed(kept[2]).get("failures") == "0"
    assert kept[3].startswith("# kill-one-replica: passed\n")


def test_a_report_that_cannot_be_kept_stops_the_run_before_it_begins(call: Call) -> None:
    """Where the report cannot be written nothing is submitted."""
    control = ScriptedControl([played.execution()])
    said = call("run", "kill.yaml", "--report-dir", "kill.yaml/reports", control=control)
    assert (said.code, control.submissions) == (2, [])


def test_an_invalid_scenario_is_told_before_any_coordinator_is_sought(call: Call, workplace: Path) -> None:
    """A file with errors ends with 2 and its lines; nobody is connected to."""
    (workplace / "bad.yaml").write_text(
        (workplace / "kill.yaml").read_text().replace("container_kill", "container_kil")
    )
    connect = ScriptedConnect(ScriptedControl())
    said = call("run", "bad.yaml", tools=Tools(connect=connect))
    assert (said.code, said.out, connect.asked) == (2, "", [])
    assert said.err.startswith("bad.yaml:12: ")
    assert "'container_kill'" in said.err


def test_an_unknown_name_is_told_with_what_there_is(call: Call) -> None:
    """A name that is neither file nor built in ends with 2 and the nearest built-in name."""
    said = call("run", "kill-one-replic")
    assert said.code == 2
    assert "did you mean 'kill-one-replica'?" in said.err


def test_a_folder_is_no_scenario(call: Call, workplace: Path) -> None:
    """A folder in a file's place is called one, exit code 2."""
    (workplace / "folder").mkdir()
    said = call("run", "folder")
    assert (said.code, said.out) == (2, "")
    assert "'folder': is a folder; give a file in it" in said.err


def test_a_folder_of_that_name_hides_no_built_in_scenario(call: Call, workplace: Path) -> None:
    """A folder called like a built-in scenario is not taken for its file."""
    (workplace / "kill-one-replica").mkdir()
    control = ScriptedControl([played.execution()])
    assert call("run", "kill-one-replica", control=control).code == 0
    assert "kill-one-replica" in control.submissions[0].source


def test_an_answer_that_is_lost_is_asked_for_again(call: Call) -> None:
    """When the coordinator is away for a moment, submitting is repeated with the same key and watching goes on."""
    control = Forgetful([RUNNING, played.execution()])
    assert call("run", "kill.yaml", control=control).code == 0
    assert len(control.keys) == 2
    assert len(set(control.keys)) == 1
    assert control.lost == 2


def test_a_coordinator_that_stays_away_may_leave_something_broken(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults were active when it was last seen: their undo commands are printed, exit code 5."""
    monkeypatch.setattr("coordinator.cli.run.SILENT_FOR_S", 0.0)
    said = call("run", "kill.yaml", control=Gone([RUNNING]))
    assert said.code == 5
    assert said.err.splitlines()[-1] == played.UNDO


def test_a_dry_run_prints_the_plan_and_submits_nothing(call: Call) -> None:
    """`run --dry-run` and `plan` print the same, of a coordinator that undoes nothing at its start."""
    control = ScriptedControl()
    connect = ScriptedConnect(control)
    dry = call("run", "kill.yaml", "--dry-run", tools=Tools(connect=connect))
    planned = call("plan", "kill.yaml", tools=Tools(connect=connect))
    assert (dry.code, dry.out) == (planned.code, planned.out)
    assert (dry.code, "abc123" in dry.out) == (0, True)
    assert not control.submitted.is_set()
    assert [recovery for _, recovery in connect.asked] == [False, False]


def test_a_plan_as_json(call: Call) -> None:
    """`plan --json` prints the plan's fields."""
    assert json.loads(call("plan", "kill.yaml", "--json").out)["hash"] == "abc123"


def test_a_plan_that_would_be_refused_ends_with_4(call: Call) -> None:
    """Nothing would be injected: the plan says why and the exit code is that of such a run."""
    said = call("plan", "kill.yaml", control=ScriptedControl(planned=played.plan(("target replica: no match",))))
    assert said.code == 4
    assert "target replica: no match" in said.out


def test_another_plan_than_expected_is_refused(call: Call) -> None:
    """`plan --expect-plan` tells both hashes and ends with 4."""
    said = call("plan", "kill.yaml", "--expect-plan", "other")
    assert (said.code, said.out) == (4, "")
    assert "the plan is abc123, not the expected other" in said.err


def test_where_nothing_was_found_a_hint_says_where_to_look() -> None:
    """A run whose target is empty points to `containers`; one that found its target does not."""
    empty = played.execution(verdict=Verdict.NOT_INJECTED).model_copy(update={"targets": {"web": ()}})
    assert "hint       `test-coordinator containers` lists" in summary(played.report(empty), ())
    assert "hint" not in summary(played.report(played.execution()), ())
