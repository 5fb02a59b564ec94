"""`rehearse`: a scenario in virtual time on a simulated fleet; the real engine is only looked at, or not even that."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.completing import scenarios
from coordinator.cli.output import note, pairs, result, rows
from coordinator.cli.sources import assignments, read, read_submission
from coordinator.cli.tools import Tools, Whole, prints_json

if TYPE_CHECKING:
    from coordinator.assembly.rehearsal import Rehearsal

SEED_LIMIT: Final = 2**31
LOCKING: Final = "volume"


def _duration(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    """A duration like 90s or 1h30m, or plain seconds. Raises BadParameter."""
    from coordinator.quantities import parse_duration

    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as bad:
        raise click.BadParameter(f"{text!r}: allowed: {bad}") from bad
    if seconds < 0:
        raise click.BadParameter(f"{text!r}: allowed: 0s or later")
    return seconds


@click.command()
@click.argument("scenario", metavar="FILE|NAME", shell_complete=scenarios)
@click.option("--var", "variables", multiple=True, metavar="K=V", callback=assignments, help="Set a variable.")
@click.option("--seed", type=Whole(min=0), metavar="N", help="Picks the same targets and durations again.")
@click.option("--crash-at", "crash_at_s", metavar="T", callback=_duration, help="Kill the coordinator after T, as 90s.")
@click.option(
    "--fleet",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML file with the containers; without it, those that the engine shows now.",
)
@prints_json
@click.pass_obj
def rehearse(
    tools: Tools,
    *,
    scenario: str,
    variables: dict[str, str],
    seed: int | None,
    crash_at_s: float | None,
    fleet: Path | None,
    as_json: bool,
) -> int:
    """Play a scenario in virtual time on a simulated fleet; nothing real is touched.

    Exit codes: 0 passed or only not judged, 1 failed, 2 bad usage, scenario, fleet or settings, 3 aborted,
    4 not injected or error, 5 something would be left broken. Killed by --crash-at: 0 when the next start puts all
    back, whatever the verdict, else 5.
    """
    from coordinator import assembly
    from coordinator.assembly.derived import rules_of
    from coordinator.assembly.described_fleet import read_fleet
    from coordinator.assembly.rehearsal import rehearse as play

    submission = read_submission(scenario, variables, seed, None, tools.library)
    settings = tools.load()
    found = (
        read_fleet(read(fleet), str(fleet)) if fleet is not None else anyio.run(assembly.engine_containers, settings)
    )
    chosen = random.SystemRandom().randrange(SEED_LIMIT) if seed is None else seed
    shown = play(submission, found, rules_of(settings), seed=chosen, crash_at_s=crash_at_s, progress=note)
    result(shown.model_dump_json(indent=2) + "\n" if as_json else told(shown, crash_at_s))
    if shown.left:
        return exit_codes.LEFT_BROKEN
    if shown.died_at_s is not None:
        return exit_codes.OK
    return exit_codes.of_verdict(shown.verdict)


def told(shown: Rehearsal, crash_at_s: float | None) -> str:
    """The timeline with its commands, then what became of it."""
    locks = sum(one.event == "command" and one.text.startswith(f"docker {LOCKING} ") for one in shown.timeline)
    lines = [
        (f"{one.offset_s:.1f}s", one.phase, one.event.replace("_", " "), one.target, one.text)
        for one in shown.timeline
        if not (one.event == "command" and one.text.startswith(f"docker {LOCKING} "))
    ]
    table = rows(("time", "phase", "event", "target", "text"), lines)
    return table + "\n" + pairs(_summary(shown, crash_at_s, locks))


def _summary(shown: Rehearsal, crash_at_s: float | None, locks: int) -> Sequence[tuple[str, str]]:
    facts = [("rehearsed", _verdict(shown)), ("seed", str(shown.seed)), ("fleet", f"{len(shown.fleet)} containers")]
    facts += [("not judged", text) for text in shown.not_judged]
    facts += [
        ("judged", f"{one.on} {one.metric} {one.expected}: {one.actual}: {'holds' if one.passed else 'does not hold'}")
        for one in shown.assertions
    ]
    facts += [("undo", command) for command in dict.fromkeys(shown.undo_commands)]
    facts.append(("locks", f"{locks} commands that take and release target locks, not shown"))
    if shown.died_at_s is not None and shown.recovered_at_s is None:
        waited = f"not all put back when it was last looked at, at {shown.ended_at_s:.1f}s"
        facts.append(("recovery", f"killed at {shown.died_at_s:.1f}s, {waited}"))
    elif shown.died_at_s is not None and shown.recovered_at_s is not None:
        took = shown.recovered_at_s - shown.died_at_s
        facts.append(("recovery", f"killed at {shown.died_at_s:.1f}s, all put back {took:.1f}s later"))
    elif crash_at_s is not None:
        facts.append(("recovery", "it was finished before the coordinator was to be killed"))
    facts += [("left as asked", text) for text in shown.left_as_asked]
    facts += [("left", text) for text in shown.left or ("nothing else" if shown.left_as_asked else "nothing",)]
    return facts


def _verdict(shown: Rehearsal) -> str:
    """Never green where something was not judged."""
    verdict = "no verdict" if shown.verdict is None else str(shown.verdict)
    text = verdict if shown.reason is None else f"{verdict}: {shown.reason}"
    if shown.not_judged:
        text += f" ({len(shown.not_judged)} not judged, see below)"
    return text
