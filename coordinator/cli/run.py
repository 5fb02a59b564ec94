"""`run` and `plan`: one execution in the foreground, watched to its verdict, and stopped and undone on a signal."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.completing import scenarios
from coordinator.cli.output import note, pairs, result
from coordinator.cli.sources import assignments, read_submission
from coordinator.cli.tools import Tools, Where, Whole, acts_on_coordinator, prints_json

if TYPE_CHECKING:
    from coordinator.cli.interrupts import Interrupts
    from coordinator.cli.live import Display
    from coordinator.ports import Control
    from coordinator.record import Execution, Report, Submission, TargetRef

POLL_S: Final = 0.25
SILENT_FOR_S: Final = 30.0
"""How long a coordinator may be away (its HTTP actor restarting, the network) before the run gives up on it."""

NOTHING_FOUND: Final = "`test-coordinator containers` lists what could be a target; `--var` sets a variable"

_scenario = click.argument("scenario", metavar="FILE|NAME", shell_complete=scenarios)
_variables = click.option(
    "--var", "variables", multiple=True, metavar="K=V", callback=assignments, help="Set a variable; may be repeated."
)
_seed = click.option(
    "--seed", type=Whole(), metavar="N",
    help="Picks the same targets again; without it the scenario's, or a random one.",
)  # fmt: skip
_expect = click.option("--expect-plan", metavar="HASH", help="Refuse to run any other plan than this one.")
_wait = click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), default=5.0, show_default=True, metavar="S",
    help="Seconds to wait for a coordinator that is starting, stopping, or busy with this DATA_DIR.",
)  # fmt: skip


@click.command()
@_scenario
@_variables
@_seed
@click.option("--dry-run", is_flag=True, help="Print the plan and touch nothing.")
@_expect
@click.option(
    "--report-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write <id>.html, <id>.json, <id>.junit.xml and <id>.md into this folder.",
)
@_wait
@prints_json
@acts_on_coordinator
@click.pass_obj
def run(
    tools: Tools,
    *,
    scenario: str,
    variables: dict[str, str],
    seed: int | None,
    dry_run: bool,
    expect_plan: str | None,
    report_dir: Path | None,
    wait_s: float,
    as_json: bool,
    server: str | None,
    token_file: Path | None,
) -> int:
    """Play one scenario: a FILE, or the NAME of a built-in one.

    Ctrl-C, TERM and HUP stop it and undo what it did.

    Exit codes: 0 passed, 1 failed, 2 bad usage, scenario or settings, 3 aborted, 4 not injected or error,
    5 something is left broken.
    """
    submission = read_submission(scenario, variables, seed, expect_plan, tools.library)
    where = Where(server, token_file, wait_s)
    if dry_run:
        return anyio.run(_plan, tools, where, submission, as_json)
    if report_dir is not None:
        _prepare(report_dir)
    from coordinator.cli.live import make_display

    outcome = anyio.run(play, tools, where, submission, make_display(), os._exit)
    if outcome is None:
        return exit_codes.ABORTED
    paths = _write(outcome, report_dir) if report_dir is not None else ()
    told = summary(outcome, paths)
    if as_json:
        from coordinator.reports import as_json as as_text

        result(as_text(outcome))
        note(told.rstrip())
    else:
        result(told)
    return exit_codes.of_execution(outcome.execution, outcome.left_broken)


@click.command()
@_scenario
@_variables
@_seed
@_expect
@_wait
@prints_json
@acts_on_coordinator
@click.pass_obj
def plan(
    tools: Tools,
    *,
    scenario: str,
    variables: dict[str, str],
    seed: int | None,
    expect_plan: str | None,
    wait_s: float,
    as_json: bool,
    server: str | None,
    token_file: Path | None,
) -> int:
    """What `run` would do, touching nothing; exit code 4 when it would refuse."""
    submission = read_submission(scenario, variables, seed, expect_plan, tools.library)
    return anyio.run(_plan, tools, Where(server, token_file, wait_s), submission, as_json)


async def _plan(tools: Tools, where: Where, submission: Submission, as_json: bool) -> int:  # noqa: FBT001  # a flag
    from coordinator.errors import Conflict
    from coordinator.scenarios.plan import render

    async with tools.connect(tools.load(), where, recovery=False) as control:
        made = await control.plan(submission)
    if submission.expect_plan is not None and made.hash != submission.expect_plan:
        raise Conflict(f"the plan is {made.hash}, not the expected {submission.expect_plan}: look at it again")
    result(made.model_dump_json(indent=2, by_alias=True) + "\n" if as_json else render(made).rstrip("\n") + "\n")
    if made.refusals and _found_nothing(made.targets):
        note(NOTHING_FOUND)
    return exit_codes.NOT_DONE if made.refusals else exit_codes.OK


async def play(
    tools: Tools, where: Where, submission: Submission, display: Display, leave: Callable[[int], object]
) -> Report | None:
    """Submit, watch, and report; None when a signal came before anything was begun. `leave` ends the process."""
    from coordinator.cli.interrupts import Interrupts, heeded

    watched = Watched(display, leave)
    interrupts = Interrupts(display.say, watched.leave)
    report = None
    try:
        with anyio.open_signal_receiver(*heeded()) as signals:
            async with anyio.create_task_group() as group:
                group.start_soon(interrupts.listen, signals)
                with interrupts.scope:
                    async with tools.connect(tools.load(), where, recovery=True) as control:
                        report = await _played(control, submission, interrupts, watched)
                group.cancel_scope.cancel()
    finally:
        display.close()
    return report


class Watched:
    """The execution as it was last seen, and what to do when a person will not wait for its undo."""

    def __init__(self, display: Display, leave: Callable[[int], object]) -> None:
        """Nothing is known yet."""
        self.execution: Execution | None = None
        self.embedded = True
        self._display = display
        self._leave = leave

    async def see(self, control: Control, execution: Execution) -> None:
        """Keep it and show it, with its samples where they are drawn."""
        self.execution = execution
        recent = self._display.recent
        if recent is not None and execution.started_at is not None:
            await recent.refresh(control, execution.id)
        self._display.show(execution)

    def owed(self) -> tuple[str, ...]:
        """The undo commands of faults that were not undone when last seen."""
        from coordinator.faults.commands import by_hand
        from coordinator.record import ENDED

        faults = self.execution.faults if self.execution is not None else ()
        return by_hand(command for fault in faults if fault.state not in ENDED for command in fault.undo_commands)

    def leave(self) -> None:
        """End the process now. Another process's undo goes on; our own is cut off and stays in the ledger."""
        self._display.close()
        if not self.embedded:
            note("left; the coordinator goes on undoing")
            self._leave(exit_codes.ABORTED)
            return
        note("left at once; its warden undoes what is left (see it with `test-coordinator status`), or run:")
        for command in self.owed():
            note(f"  {command}")
        self._leave(exit_codes.LEFT_BROKEN)


async def _played(control: Control, submission: Submission, interrupts: Interrupts, watched: Watched) -> Report:
    from coordinator.client import HttpControl, NoAnswer

    watched.embedded = not isinstance(control, HttpControl)
    interrupts.submitting()
    accepted = await _submitted(control, submission)
    await watched.see(control, accepted)
    try:
        await follow(control, accepted.id, interrupts, watched.see)
    except NoAnswer as gone:
        owed = watched.owed()
        if not owed:
            raise
        lines = (f"{gone}; it undoes what is left as soon as it is back, or run:", *owed)
        raise exit_codes.MaybeBroken("\n".join(lines)) from gone
    return await control.report(accepted.id)


async def _submitted(control: Control, submission: Submission) -> Execution:
    """Submit once, however often it must be said. Raises NoAnswer when the coordinator stays away."""
    from coordinator.client import NoAnswer

    # An answer may be lost after the execution was accepted: the key makes saying it again harmless.
    key = uuid.uuid4().hex
    since = anyio.current_time()
    while True:
        try:
            return await control.submit(submission, idempotency_key=key)
        except NoAnswer:
            if anyio.current_time() - since > SILENT_FOR_S:
                raise
        await anyio.sleep(POLL_S)


async def follow(
    control: Control,
    execution_id: str,
    interrupts: Interrupts,
    see: Callable[[Control, Execution], Awaitable[None]],
) -> Execution:
    """Look four times a second until it is finished; stop it when asked to.

    Raises NoAnswer when the coordinator stays away.
    """
    from coordinator.client import NoAnswer
    from coordinator.errors import Conflict
    from coordinator.record import ExecutionState

    stopped = False
    silent_since: float | None = None
    while True:
        try:
            if interrupts.asked.is_set() and not stopped:
                with contextlib.suppress(Conflict):  # it has just finished by itself
                    await control.stop(execution_id, interrupts.reason)
                stopped = True
            execution = await control.execution(execution_id)
            await see(control, execution)
        except NoAnswer:
            silent_since = anyio.current_time() if silent_since is None else silent_since
            if anyio.current_time() - silent_since > SILENT_FOR_S:
                raise
        else:
            silent_since = None
            if execution.state is ExecutionState.FINISHED:
                return execution
        with anyio.move_on_after(POLL_S):
            await (anyio.sleep_forever() if interrupts.asked.is_set() else interrupts.asked.wait())


def _found_nothing(targets: Mapping[str, tuple[TargetRef, ...]]) -> bool:
    return any(not chosen for chosen in targets.values())


def summary(report: Report, paths: Sequence[Path]) -> str:
    """What came of it, for a person: verdict first, then why, how long it took to recover, and where to read on."""
    from coordinator.faults.commands import by_hand
    from coordinator.record import Verdict
    from coordinator.reports.figures import recoveries

    execution = report.execution
    lines = [("verdict", execution.verdict.value if execution.verdict is not None else "none")]
    if execution.reason:
        lines.append(("reason", execution.reason))
    if execution.verdict is Verdict.NOT_INJECTED and _found_nothing(execution.targets):
        lines.append(("hint", NOTHING_FOUND))
    lines += [("recovery", f"{found.actual} ({found.on}, {found.phase})") for found in recoveries(execution)]
    lines += [
        ("failed", f"{claim.phase}: {claim.on} {claim.metric} {claim.expected}, actual {claim.actual}")
        for claim in execution.assertions
        if not claim.passed
    ]
    lines.append(("undo", execution.undo.value))
    lines.append(("execution", execution.id))
    lines += [("report", str(path)) for path in paths] or [("report", f"test-coordinator report {execution.id}")]
    text = pairs(lines)
    if report.left_broken:
        text += "left broken; run:\n" + "".join(f"  {command}\n" for command in by_hand(report.left_broken))
    return text


def _prepare(folder: Path) -> None:
    """Make the folder now: nothing is broken for a report that cannot be kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as failed:
        raise click.UsageError(f"--report-dir {folder}: cannot be written: {failed.strerror}") from failed


def _write(report: Report, folder: Path) -> tuple[Path, ...]:
    """A file for each format; what cannot be written is told, and does not hide the verdict."""
    from coordinator.reports import FORMATS

    written = []
    for form in FORMATS.values():
        path = folder / f"{report.execution.id}.{form.suffix}"
        try:
            path.write_text(form.render(report), encoding="utf-8")
        except OSError as failed:
            note(f"test-coordinator: {path}: cannot be written: {failed.strerror}")
        else:
            written.append(path)
    return tuple(written)
