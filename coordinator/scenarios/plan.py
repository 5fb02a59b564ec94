"""What an execution would do, from a scenario, the facts and a seed: who, what, when, and how it is undone."""

from __future__ import annotations

import hashlib
import json
import math
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final, get_args

from pydantic import ConfigDict, Field

from coordinator.errors import Refused
from coordinator.faults.catalogue import Fault
from coordinator.faults.commands import Command
from coordinator.faults.facts import ContainerFacts, EngineInfo, Value
from coordinator.faults.looks import Undo
from coordinator.faults.model import FaultPlan, FaultSpec, Surroundings
from coordinator.faults.targeting import (
    ROLE_LABEL,
    Policy,
    Selected,
    Target,
    limit_refusals,
    resolve,
    sharers,
    why_not,
)
from coordinator.quantities import show_duration
from coordinator.record import FaultClass, TargetRef
from coordinator.scenarios.model import Scenario, masked
from coordinator.scenarios.overlaps import clashes
from coordinator.scenarios.probes import ExecProbe
from coordinator.scenarios.slips import to_itself

UNDO_SECONDS: Final = {"start": 0.2, "unpause": 0.03, "exec": 0.2}
"""What one undo command takes on a modest machine, by its verb; any other counts as a start."""
IDLE_SETTLE_S: Final = 2.0
"""An undo that settles for no longer than this follows a command that the engine works off at once."""
NOT_DONE: Final = {"variables", "extends", "seed", "metadata"}
"""Fields of a scenario whose effect is elsewhere in the plan, or that have none."""
WIDTH: Final = 100
SHORT_ID: Final = 12


class PlannedFault(Value):
    """One fault of one round of one phase. `at_s` is from the phase's start; `lasts_s` None is to the phase's end."""

    phase: str
    round: int
    index: int
    type: str
    target: str
    at_s: float
    lasts_s: float | None
    fault_class: FaultClass = Field(alias="class", serialization_alias="class")
    mechanism: str
    undo_text: str
    plan: FaultPlan

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Plan(Value):
    """The whole plan. `refusals` are the reasons it would not be run, one line each; `hash` covers what is done."""

    scenario: str
    seed: int
    hash: str
    variables: dict[str, str]
    targets: dict[str, tuple[TargetRef, ...]]
    left_out: tuple[tuple[str, str], ...]
    faults: tuple[PlannedFault, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    estimated_undo_s: float


def make_plan(
    scenario: Scenario,
    variables: Mapping[str, str],
    containers: Sequence[ContainerFacts],
    policy: Policy,
    seed: int,
    engine: EngineInfo | None = None,
    *,
    faults_disabled: Collection[str],
    injection_enabled: bool,
    shutdown_deadline_s: float = math.inf,
    in_container: bool = False,
) -> Plan:
    """Work out who, what and when. Pure: the same arguments give the same plan with the same hash.

    What forbids the execution becomes a refusal, not an error, so that a person sees all of it at once.
    """
    selection = resolve(scenario.targets, containers, policy, seed)
    faults, impossible = _planned(scenario, selection, seed, engine)
    not_to_be_hit, also_hit = _sharing(scenario, faults, containers, policy)
    aimed = {name for phase in scenario.phases for fault in phase.faults for name in fault.aims()}
    touched = {one.id for name, chosen in selection.items() if name in aimed for one in chosen.containers}
    refusals = (
        *forbidden(scenario, faults_disabled, injection_enabled=injection_enabled),
        *impossible,
        *not_to_be_hit,
        *(
            no_match(name, selection[name])
            for name, target in scenario.targets.items()
            if not selection[name].containers and not target.allow_empty
        ),
        *limit_refusals(touched, containers, policy, scenario.limits),
    )
    undo_s = _undo_seconds(faults)
    warnings = _warnings(scenario, selection, faults) + also_hit
    if undo_s > shutdown_deadline_s:
        limit = f"{show_duration(shutdown_deadline_s)}, SHUTDOWN_DEADLINE_SECONDS"
        warnings += (f"a stop of the coordinator may not undo all of it in time ({limit}): the next start would",)
    if in_container:
        warnings += tuple(dict.fromkeys(to_itself(scenario)))
    left_out = dict.fromkeys(entry for chosen in selection.values() for entry in chosen.left_out)
    return Plan(
        scenario=scenario.metadata.name,
        seed=seed,
        hash=_hash(scenario, seed, selection, faults),
        variables={name: masked(value) for name, value in variables.items()},
        targets={
            name: tuple(TargetRef(id=one.id, name=one.name) for one in chosen.containers)
            for name, chosen in selection.items()
        },
        left_out=tuple(left_out),
        faults=faults,
        refusals=refusals,
        warnings=warnings,
        estimated_undo_s=undo_s,
    )


def no_match(name: str, selected: Selected) -> str:
    """The refusal for a target nothing was selected for, with what matched but may not be touched."""
    text = f"target {name}: no container matches"
    if selected.left_out:
        text += " that may be touched; " + "; ".join(f"{who}: {why}" for who, why in selected.left_out)
    return text


def _planned(
    scenario: Scenario, selection: Mapping[str, Selected], seed: int, engine: EngineInfo | None
) -> tuple[tuple[PlannedFault, ...], tuple[str, ...]]:
    """Every fault of every round, in order, and why some cannot be. A round repeats its fault on the same containers
    with the same commands.
    """
    planned: list[PlannedFault] = []
    impossible: list[str] = []
    targets = {name: chosen.containers for name, chosen in selection.items()}
    around = Surroundings(targets=targets, engine=engine, seed=seed)
    for phase in scenario.phases:
        plans = []
        for fault in phase.faults:
            try:
                plans.append(fault.plan(around.of(fault.aims()), around))
            except Refused as refusal:
                plans.append(FaultPlan(targets=()))
                impossible.append(f"phase {phase.name}: {fault.type} on {fault.aimed_at}: {refusal}")
        met = clashes(list(zip(phase.faults, plans, strict=True)))
        impossible += [f"phase {phase.name}: {why}" for why in met]
        for number in range(1, (phase.repeat.times if phase.repeat else 1) + 1):
            planned.extend(
                PlannedFault(
                    phase=phase.name,
                    round=number,
                    index=index,
                    type=fault.type,
                    target=fault.aimed_at,
                    at_s=fault.at,
                    lasts_s=fault.lasts,
                    fault_class=fault.fault_class,
                    mechanism=fault.done_by,
                    undo_text=fault.undo_text,
                    plan=plan,
                )
                for index, (fault, plan) in enumerate(zip(phase.faults, plans, strict=True))
            )
    return tuple(planned), tuple(impossible)


def _sharing(
    scenario: Scenario, faults: Iterable[PlannedFault], containers: Sequence[ContainerFacts], policy: Policy
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who uses the network of a container into which a fault of the network is put: those who may not be touched, and
    those who may, one line each.
    """
    every = {one.id: one for one in containers}
    phases = {phase.name: phase for phase in scenario.phases}
    refusals, warnings = [], []
    for fault in faults:
        spec = phases[fault.phase].faults[fault.index]
        allowed = any(scenario.targets[name].allow_self_dependencies for name in spec.aims())
        for target in fault.plan.targets if spec.in_network else ():
            for one in sharers(every[target.container_id], containers):
                # What is ours was judged where targets are chosen.
                why = None if ROLE_LABEL in one.labels else why_not(one, policy, allow_self_dependencies=allowed)
                text = (
                    f"phase {fault.phase}: {fault.type} on {target.name} would hit {one.name}, which uses its network"
                )
                if why is None:
                    warnings.append(f"{text}, too")
                else:
                    refusals.append(f"{text} and may not be touched: {why}")
    return tuple(dict.fromkeys(refusals)), tuple(dict.fromkeys(warnings))


def names_of(fault: type[FaultSpec]) -> tuple[str, ...]:
    """The type names of a fault, its aliases included: a ban of one is a ban of all."""
    return get_args(fault.model_fields["type"].annotation)


def forbidden(scenario: Scenario, disabled: Collection[str], *, injection_enabled: bool) -> tuple[str, ...]:
    """What the settings forbid, one line each; needs no engine."""
    faults: list[tuple[str, Fault]] = [(phase.name, fault) for phase in scenario.phases for fault in phase.faults]
    refusals = []
    if faults and not injection_enabled:
        refusals.append("injection is switched off here (CHAOS_INJECTION_ENABLED=false)")
    refusals += [
        f"phase {phase}: {fault.type} is switched off here (FAULTS_DISABLED)"
        for phase, fault in faults
        if set(names_of(type(fault))) & set(disabled)
    ]
    if "exec" in disabled:
        refusals += [
            f"probe {name}: exec is switched off here (FAULTS_DISABLED)"
            for name, probe in scenario.probes.items()
            if isinstance(probe, ExecProbe)
        ]
    return tuple(dict.fromkeys(refusals))


def _warnings(scenario: Scenario, selection: Mapping[str, Selected], faults: Iterable[PlannedFault]) -> tuple[str, ...]:
    """What a person should know before it runs, and may be right all the same."""
    warnings = [
        f"phase {fault.phase}: {fault.type} leaves {one.name} alone: it {one.why}"
        for fault in faults
        if fault.round == 1
        for one in fault.plan.untouched
    ]
    warnings += [
        f"target {name}: {len(selection[name].containers)} of {target.pick} to pick were found"
        for name, target in scenario.targets.items()
        if _short_of(target, selection[name])
    ]
    return tuple(dict.fromkeys(warnings))


def _short_of(target: Target, selected: Selected) -> bool:
    return target.pick.isdigit() and 0 < len(selected.containers) < int(target.pick)


def _undo_seconds(faults: Sequence[PlannedFault]) -> float:
    """Seconds to put everything back at the worst moment: the costliest phase with all its faults in force, and the
    longest grace period of a stop or restart that is interrupted half-way.
    """
    worst = 0.0
    for _, round_faults in groupby(faults, key=lambda fault: (fault.phase, fault.round)):
        undos = [undo for fault in round_faults for undo in fault.plan.undos]
        grace = max((undo.settle_s for undo in undos if undo.settle_s > IDLE_SETTLE_S), default=0.0)
        worst = max(worst, sum(_undo_cost(undo) for undo in undos) + grace)
    return round(worst, 2)


def _undo_cost(undo: Undo) -> float:
    commands = [command for command in (undo.command, undo.mend) if command is not None]
    return sum(UNDO_SECONDS.get(command.argv[0], UNDO_SECONDS["start"]) for command in commands)


def _hash(scenario: Scenario, seed: int, selection: Mapping[str, Selected], faults: Sequence[PlannedFault]) -> str:
    """16 hexadecimal digits over what is done: not over names, comments, left-out containers or unused variables."""
    content = {
        "scenario": scenario.model_dump(mode="json", by_alias=True, exclude=NOT_DONE),
        "name": scenario.metadata.name,
        "seed": seed,
        "targets": {name: [one.id for one in chosen.containers] for name, chosen in selection.items()},
        "commands": [
            [fault.phase, fault.round, fault.index, target.inject.argv, target.undo.command.argv if target.undo else []]
            for fault in faults
            for target in fault.plan.targets
        ],
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


# ---------------------------------------------------------------- for a person


def render(plan: Plan) -> str:
    """The plan as `plan` prints it, at most 100 columns wide; container ids are shortened as docker accepts them."""
    lines = [f"plan {plan.hash} of {plan.scenario} (seed {plan.seed}); nothing has been touched"]
    lines += _section("variables", [f"{name} = {value}" for name, value in sorted(plan.variables.items())])
    lines += _section("targets", _targets_shown(plan))
    lines += _section("left alone", [f"{name}: {why}" for name, why in plan.left_out])
    for phase, faults in groupby(plan.faults, key=lambda fault: fault.phase):
        lines += ["", f"phase {phase}"]
        every = list(faults)
        rounds = max(fault.round for fault in every)
        if rounds > 1:
            lines.append(f"  {rounds} rounds, each the same:")
        for fault in every:
            if fault.round == 1:
                lines += _fault_shown(fault)
    lines += ["", f"undo: about {show_duration(plan.estimated_undo_s)} for everything at the worst moment"]
    lines += _section("warnings", plan.warnings)
    lines += _section("refused: this plan would not be run", plan.refusals)
    return "\n".join(lines) + "\n"


def _section(title: str, entries: Sequence[str]) -> list[str]:
    """A blank line, the title, the wrapped entries; nothing at all without entries."""
    if not entries:
        return []
    return ["", title, *(line for entry in entries for line in _wrapped(entry, "  ", "    "))]


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest) or [first.rstrip()]


def _targets_shown(plan: Plan) -> list[str]:
    shown = []
    for name, refs in plan.targets.items():
        who = ", ".join(f"{ref.name} ({ref.id[:SHORT_ID]})" for ref in refs) or "no container"
        shown.append(f"{name}: {who}")
    return shown


def _fault_shown(fault: PlannedFault) -> list[str]:
    """What is armed before, fired when, until when, and the commands both ways."""
    until = "the phase's end" if fault.lasts_s is None else f"+{show_duration(fault.at_s + fault.lasts_s)}"
    head = (
        f"{fault.type} on {fault.target}: armed ahead, fired at +{show_duration(fault.at_s)}, undone at {until} "
        f"(class {fault.fault_class}, by {fault.mechanism})"
    )
    lines = _wrapped(head, "  ", "      ")
    if fault.plan.drawn:
        lines += _wrapped(f"drawn with the seed: {fault.plan.drawn}", "    ", "      ")
    for target in fault.plan.targets:
        lines.append(f"    {target.name}")
        if target.keep is not None:
            lines += _command_shown("keep", target.keep, target.container_id)
        lines += _command_shown("inject", target.inject, target.container_id)
        if target.undo is None:
            lines.append("      undo    none")
        else:
            lines += _command_shown("undo", target.undo.command, target.container_id)
            if target.undo.mend is not None:
                lines += _command_shown("then", target.undo.mend, target.container_id)
    lines += [line for one in fault.plan.untouched for line in _wrapped(f"{one.name} {one.why}", "    ", "      ")]
    if not fault.plan.targets:
        lines.append("    nothing to do")
    return [*lines, *_wrapped(f"undo: {fault.undo_text}", "    ", "      ")]


def _command_shown(label: str, command: Command, container_id: str) -> list[str]:
    """The command with a short id, broken between its words so that it can still be pasted."""
    words = [word.replace(container_id, container_id[:SHORT_ID]) for word in command.pasted()]
    first = f"      {label:<8}"
    if len(first) + len(" ".join(words)) <= WIDTH:
        return [first + " ".join(words)]
    lines, current = [], first
    for quoted in words:
        if len(current) + len(quoted) + 2 > WIDTH and current.strip():
            lines.append(current.rstrip() + " \\")
            current = " " * 16
        current += quoted + " "
    return [*lines, current.rstrip()]
