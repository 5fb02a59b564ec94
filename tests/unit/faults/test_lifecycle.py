import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.lifecycle import (
    CRASH,
    DOWN,
    SIGNALS,
    ContainerCrash,
    ContainerKill,
    ContainerPause,
    ContainerRestart,
    ContainerStop,
)
from coordinator.faults.looks import RunEnded, RunsAnew, SignalSeen, StateIs, need, seen
from coordinator.faults.model import FaultSpec
from coordinator.faults.needs import Need

FAULTS: list[FaultSpec] = [
    ContainerKill.model_validate({"type": "container_kill", "target": "t"}),
    ContainerStop.model_validate({"type": "container_stop", "target": "t", "grace": "3s"}),
    ContainerRestart.model_validate({"type": "service_restart", "target": "t", "grace": "3s"}),
    ContainerPause.model_validate({"type": "container_pause", "target": "t"}),
    ContainerCrash.model_validate({"type": "container_crash", "target": "t"}),
]
STARTED = "2026-01-01T00:00:00.1Z"


def container(name: str, state: ContainerState = ContainerState.RUNNING) -> ContainerFacts:
    """A container whose id follows from its name."""
    return ContainerFacts(id=f"id-{name}", name=name, image="i", state=state, started_at=STARTED)


def kill(**parameters: object) -> ContainerKill:
    """A kill with these parameters."""
    return ContainerKill.model_validate({"type": "container_kill", "target": "t"} | parameters)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.type)
@given(states=st.lists(st.sampled_from(ContainerState), max_size=6))
def test_only_running_containers_are_planned(fault: FaultSpec, states: list[ContainerState]) -> None:
    """Every container is either a target with its pre-state or left alone with its state as the reason, in order."""
    containers = [container(f"c{number}", state) for number, state in enumerate(states)]

    plan = fault.plan(containers)

    running = [each for each in containers if each.state is ContainerState.RUNNING]
    assert [target.container_id for target in plan.targets] == [each.id for each in running]
    assert {target.pre_state for target in plan.targets} <= {"running"}
    others = [(each.name, f"is {each.state}, not running: left alone") for each in containers if each not in running]
    assert [(left.name, left.why) for left in plan.untouched] == others
    assert fault.plan(containers) == plan


@pytest.mark.parametrize(
    ("fault", "argv", "undo"),
    [
        (FAULTS[0], ("kill", "--signal", "SIGKILL", "id-web"), ("start", "id-web")),
        (FAULTS[1], ("stop", "-t", "3", "id-web"), ("start", "id-web")),
        (FAULTS[2], ("restart", "-t", "3", "id-web"), ("start", "id-web")),
        (FAULTS[3], ("pause", "id-web"), ("unpause", "id-web")),
        (FAULTS[4], (*CRASH, "id-web"), ("start", "id-web")),
    ],
    ids=lambda value: getattr(value, "type", None),
)
def test_commands_and_undos(fault: FaultSpec, argv: tuple[str, ...], undo: tuple[str, ...]) -> None:
    """Each fault is one docker command on the container's id, with an undo bound to the run it found."""
    (target,) = fault.plan([container("web")]).targets

    assert target.inject.argv == argv
    assert target.undo is not None
    assert target.undo.command.argv == undo
    assert (target.undo.started_at, target.undo.restores) == (STARTED, ContainerState.RUNNING)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.type)
def test_the_effect_is_not_there_before_and_the_undo_not_needed(fault: FaultSpec) -> None:
    """What is looked for after firing is not seen on the untouched container, and nothing is owed to it."""
    web = container("web")
    (target,) = fault.plan([web]).targets

    assert not seen(target.effect, web)
    assert target.undo is not None
    assert need(target.undo, web, attempted=False) is Need.DONE


def test_the_effects_that_are_looked_for() -> None:
    """A kill, a crash and a stop end the run, a restart begins another, a pause shows as a state."""
    effects = [fault.plan([container("web")]).targets[0].effect for fault in FAULTS]

    assert effects == [
        RunEnded(started_at=STARTED),
        RunEnded(started_at=STARTED),
        RunsAnew(started_at=STARTED),
        StateIs(states=(ContainerState.PAUSED,)),
        RunEnded(started_at=STARTED),
    ]


@pytest.mark.parametrize("state", DOWN)
def test_a_stopped_run_is_started_again(state: ContainerState) -> None:
    """However the run ended, its undo is needed while nobody else has started it."""
    (target,) = FAULTS[1].plan([container("web")]).targets

    assert target.undo is not None
    assert need(target.undo, container("web", state), attempted=False) is Need.NEEDED


@pytest.mark.parametrize(
    ("written", "name"), [("KILL", "SIGKILL"), ("9", "SIGKILL"), ("sigHup", "SIGHUP"), (15, "SIGTERM")]
)
def test_signals_are_taken_by_name_or_number(written: object, name: str) -> None:
    """A signal may be written with or without SIG, in any case, or as its number."""
    assert kill(signal=written).signal == name


def test_an_unknown_signal_is_refused_with_those_allowed() -> None:
    """A signal that is not in the table is refused and the table told."""
    with pytest.raises(ValidationError, match="one of SIGHUP, SIGINT"):
        kill(signal="SIGNOPE")


@pytest.mark.parametrize("signal", sorted(SIGNALS.keys() - {"SIGKILL"}))
def test_a_signal_that_can_be_survived_is_seen_in_the_log(signal: str) -> None:
    """Only SIGKILL surely ends a run; of any other signal the delivery is looked for."""
    (target,) = kill(signal=signal).plan([container("web")]).targets

    assert target.effect == SignalSeen(signals=(signal, str(SIGNALS[signal])))


def test_a_kill_without_restore_owes_nothing() -> None:
    """With restore: false the container stays as the kill or crash left it."""
    crash = ContainerCrash.model_validate({"type": "container_crash", "target": "t", "restore": "false"})
    assert kill(restore="false").plan([container("web")]).undos == ()
    assert crash.plan([container("web")]).undos == ()


def test_a_crash_asks_for_no_more_than_it_needs() -> None:
    """Its helper is labelled, removed by the engine, never pulled, without network, mounts and rights but to signal."""
    (target,) = FAULTS[4].plan([container("web")]).targets
    argv = " ".join(target.inject.argv)

    for part in ("--rm", "--pull never", "--network none", "--read-only", "--cap-drop ALL --cap-add KILL"):
        assert f" {part} " in argv
    assert "--label test-coordinator.role=helper" in argv
    assert argv.count("--cap-add") == 1
    for forbidden in ("--privileged", "--volume", "--mount", "-v", "docker.sock"):
        assert forbidden not in target.inject.argv
    assert FAULTS[4].by_helper


def test_a_policy_that_is_about_to_restart_is_waited_for() -> None:
    """After a crash a container between two runs is neither done nor somebody else's; after a kill no policy acts."""
    crash, killed = (fault.plan([container("web")]).targets[0].undo for fault in (FAULTS[4], FAULTS[0]))
    waiting = container("web", ContainerState.RESTARTING)

    assert crash is not None
    assert need(crash, waiting, attempted=False) is Need.NEEDED
    assert killed is not None
    assert need(killed, waiting, attempted=False) is Need.SUPERSEDED


@pytest.mark.parametrize("kind", [ContainerStop, ContainerRestart])
def test_the_grace_is_whole_seconds_within_the_deadline(kind: type[ContainerStop | ContainerRestart]) -> None:
    """A grace the engine would round is refused, and the command and its settling outlast any grace allowed."""
    name = {ContainerStop: "container_stop", ContainerRestart: "container_restart"}[kind]
    for wrong in ("500ms", "2.5s", "601s", "3"):
        with pytest.raises(ValidationError):
            kind.model_validate({"type": name, "target": "t", "grace": wrong})
    longest = kind.model_validate({"type": name, "target": "t", "grace": "10m"})

    (target,) = longest.plan([container("web")]).targets

    assert target.inject.argv[:3] == (name.removeprefix("container_"), "-t", "600")
    assert target.inject.deadline_s > 600
    assert target.undo is not None
    assert target.undo.settle_s > 600
