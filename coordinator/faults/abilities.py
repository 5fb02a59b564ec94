"""What can be done here, as it was tried, and what that means for each type of fault. Tries nothing itself."""

from __future__ import annotations

import json
from typing import Final, Literal

from coordinator.faults.commands import HELPER_PROGRAMS, DockerCommand, Outcome, in_namespace
from coordinator.faults.disk import INSIDE
from coordinator.faults.facts import Value
from coordinator.faults.lifecycle import among_processes
from coordinator.faults.limits import beside_cgroups
from coordinator.faults.model import FaultSpec

ABILITIES_PROGRAM: Final = f"{HELPER_PROGRAMS}/abilities.py"
DEADLINE_S: Final = 10.0

NETWORK: Final = ("network",)
"""What ABILITIES_PROGRAM is asked in a network namespace of its own."""

NOT_STARTED: Final = frozenset({125, 126, 127})
"""Exit codes of `docker run` where the engine refused the container, or could not start its program."""

NOT_BUILT: Final = "there is no helper image yet: it is built from this machine when it is first needed"
OTHER_VERSION: Final = "the helper image is of another version: the program that tries is not in it"

READY, FALLBACK, UNTESTED, NOT_HERE = "ready", "fallback", "untested", "not here"
State = Literal["ready", "fallback", "untested", "not here"]


class Way(Value):
    """One way to do what faults need. `why` says why it was not tried, or why it is none."""

    state: Literal["tried", "untested", "not here"]
    why: str = ""
    abilities: dict[str, str] = {}
    """Each that was tried, with why it does not work; empty where it does."""


class Abilities(Value):
    """By helper containers, and from the host by entering its namespaces."""

    helper: Way = Way(state="untested")
    """In a network namespace."""
    processes: Way = Way(state="untested")
    """Among the host's processes, which some engines allow no container."""
    cgroups: Way = Way(state="untested")
    """Among the host's processes, with its cgroups to write."""
    mounts: Way = Way(state="untested")
    """The same, with the right to enter mount namespaces, which some engines give no container."""
    host: Way = Way(state="untested")


class Status(Value):
    """Whether faults of one type work here, and why not, or not at their best, in one line."""

    state: State
    why: str = ""


def attempts() -> tuple[DockerCommand, DockerCommand, DockerCommand, DockerCommand]:
    """One in a network, one among processes, one beside the cgroups, and one that may enter mount namespaces.

    With the very rights that faults give theirs, each tries what those need.

    Their network leads nowhere, so that what is put there touches nobody.
    """
    network = in_namespace("", *NETWORK).argv
    place = network.index("--network") + 1
    # The program is last but for what it is asked.
    in_network = (*network[:place], "none", *network[place + 1 : -2], ABILITIES_PROGRAM, *NETWORK)
    beside_processes = (*among_processes("KILL", "SYS_PTRACE"), ABILITIES_PROGRAM, "processes")
    return (
        DockerCommand(argv=in_network, deadline_s=DEADLINE_S),
        DockerCommand(argv=beside_processes, deadline_s=DEADLINE_S),
        beside_cgroups(ABILITIES_PROGRAM, "cgroups").model_copy(update={"deadline_s": DEADLINE_S}),
        beside_cgroups(ABILITIES_PROGRAM, "mounts", capabilities=INSIDE).model_copy(update={"deadline_s": DEADLINE_S}),
    )


def tried(outcome: Outcome) -> Way:
    """What came of one of `attempts`, or of NETWORK from the host."""
    lines = (outcome.stdout if outcome.ok else outcome.stderr).strip().splitlines()
    told = lines[-1] if lines else f"exit code {outcome.exit_code}"
    if outcome.timed_out:
        return Way(state="untested", why=f"what tries it did not end within {DEADLINE_S:.0f} s")
    if not outcome.ok:
        refused = outcome.exit_code in NOT_STARTED
        why = _refusal(outcome.stderr) if refused else OTHER_VERSION if "can't open file" in told else told
        return Way(state="not here" if refused else "untested", why=why)
    try:
        found = {str(name): str(why) for name, why in json.loads(told).items()}
    except (ValueError, AttributeError):
        return Way(state="untested", why=f"what tries it answers {told[:80]!r}")
    return Way(state="tried", abilities=found)


def _refusal(stderr: str) -> str:
    """The line in which docker says why, which it follows with advice on --help."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("docker:")), lines[0] if lines else "the engine refused it")


def status(kind: type[FaultSpec], abilities: Abilities) -> Status:
    """What is to be expected of faults of this kind, where an engine and the docker command line are there."""
    if not kind.by_helper:
        if kind.undo_by_helper and abilities.helper.state == NOT_HERE:
            return Status(state=FALLBACK, why=f"its undo is not exact without a helper: {abilities.helper.why}")
        return Status(state=READY)
    among = _beside(abilities, abilities.cgroups) if kind.in_cgroups else abilities.processes
    if kind.in_mounts:
        among = _beside(abilities, abilities.mounts)
    by_helper = _by(kind, abilities.helper if kind.in_network else among)
    if not kind.in_network or abilities.host.state != "tried":
        return by_helper
    # Where the host's namespaces can be entered they are, whatever helpers could do.
    from_host = _by(kind, abilities.host)
    if from_host.state == NOT_HERE:
        return Status(state=NOT_HERE, why=f"on this host: {from_host.why}")
    if from_host.state == READY and by_helper.state == NOT_HERE:
        return Status(state=FALLBACK, why=f"from this host alone, not by helpers: {by_helper.why}")
    return from_host


def lacking(fault: FaultSpec, abilities: Abilities) -> tuple[dict[str, str], tuple[str, ...]]:
    """Of what its parameters take: each that does not work, with why; and those of which nobody can say."""
    way = abilities.host if abilities.host.state == "tried" else abilities.helper
    tried = way.abilities if way.state == "tried" else {}
    return (
        {name: tried[name] for name in fault.wants if tried.get(name)},
        tuple(name for name in fault.wants if name not in tried),
    )


def _beside(abilities: Abilities, way: Way) -> Way:
    """What a helper can beside the cgroups; what was tried among processes alone holds there too."""
    also = abilities.processes.abilities if abilities.processes.state == "tried" else {}
    return way.model_copy(update={"abilities": also | way.abilities})


def _by(kind: type[FaultSpec], way: Way) -> Status:
    """What it is by this way."""
    if way.state != "tried":
        return Status(state=NOT_HERE if way.state == "not here" else UNTESTED, why=way.why)
    second_best = []

    def lacks(name: str) -> str:
        return way.abilities.get(name, f"{name} was not tried")

    for group in kind.abilities:
        works = [name for name in group if not lacks(name)]
        if not works:
            return Status(state=NOT_HERE, why=lacks(group[0]))
        if works[0] != group[0]:
            second_best.append(f"{works[0]} in place of {group[0]}: {lacks(group[0])}")
    without = [f"{what}: {lacks(name)}" for name, what in kind.options.items() if lacks(name)]
    return Status(state=FALLBACK if second_best else READY, why="; ".join(second_best + without))
