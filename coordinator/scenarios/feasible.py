"""Holds a plan against what can be known of the engine's machine without touching a target: what some faults take and
it may lack, and how large its disks are. Asks only where a fault of the plan depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from coordinator.faults.abilities import Abilities, lacking
from coordinator.faults.disk import DiskFill, filled_disk
from coordinator.faults.model import FaultSpec
from coordinator.ports import Machine
from coordinator.quantities import show_size
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.plan import Plan, PlannedFault


async def held_against(plan: Plan, scenario: Scenario, machine: Machine | None) -> Plan:
    """The plan with a refusal for each fault that cannot be there, and a warning where nobody can say.

    Raises EngineUnreachable.
    """
    refusals, warnings = list(plan.refusals), list(plan.warnings)
    faults = list(_once(plan, scenario))
    if any(spec.wants for _, spec in faults):
        tried = Abilities() if machine is None else await machine.abilities()
        for fault, spec in faults:
            lacks, untried = lacking(spec, tried)
            where = f"phase {fault.phase}: {fault.type} on {fault.target}"
            refusals += [f"{where} needs {name}, which is not here: {why}" for name, why in lacks.items()]
            warnings += [f"{where} needs {name}, which was not tried: see doctor" for name in untried]
    for fault, spec in faults:
        if machine is not None and isinstance(spec, DiskFill) and isinstance(spec.size, int):
            refusals += await _too_large(fault, spec.size, machine)
    return plan.model_copy(
        update={"refusals": tuple(dict.fromkeys(refusals)), "warnings": tuple(dict.fromkeys(warnings))}
    )


def _once(plan: Plan, scenario: Scenario) -> Iterator[tuple[PlannedFault, FaultSpec]]:
    """Each fault that hits somebody, in one of its rounds, with how it was written."""
    phases = {phase.name: phase for phase in scenario.phases}
    for fault in plan.faults:
        if fault.round == 1 and fault.plan.targets:
            yield fault, phases[fault.phase].faults[fault.index]


async def _too_large(fault: PlannedFault, size: int, machine: Machine) -> list[str]:
    told = []
    for target in fault.plan.targets:
        folder = filled_disk(target.undo.command.argv) if target.undo is not None else ""
        room = await machine.disk(folder) if folder else None
        if room is not None and size > room:
            told.append(
                f"phase {fault.phase}: {fault.type} on {target.name} would take {show_size(size)} of a disk that has "
                f"{show_size(room)} in all"
            )
    return told
