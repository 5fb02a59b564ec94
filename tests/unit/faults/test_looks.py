import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.faults.commands import DockerCommand, Outcome
from coordinator.faults.facts import ContainerFacts, ContainerState, EngineEvent, NetworkAttachment
from coordinator.faults.looks import (
    Detached,
    Look,
    RunEnded,
    RunsAnew,
    SignalSeen,
    StateIs,
    Succeeded,
    Undo,
    need,
    seen,
)
from coordinator.faults.needs import Need

S = ContainerState
BEFORE, AFTER = "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.2Z"


def container(state: ContainerState, started_at: str = BEFORE) -> ContainerFacts:
    """A container in this state."""
    return ContainerFacts(id="c1", name="web", image="i", state=state, started_at=started_at)


IN = container(S.RUNNING, AFTER).model_copy(update={"networks": (NetworkAttachment(name="net"),)})


@pytest.mark.parametrize(
    ("look", "facts", "shown"),
    [
        (StateIs(states=(S.PAUSED,)), container(S.PAUSED), True),
        (StateIs(states=(S.PAUSED,)), container(S.RUNNING), False),
        (StateIs(states=(S.PAUSED,)), None, False),
        (RunEnded(started_at=BEFORE), container(S.RUNNING), False),
        (RunEnded(started_at=BEFORE), container(S.PAUSED), False),
        (RunEnded(started_at=BEFORE), container(S.EXITED), True),
        (RunEnded(started_at=BEFORE), container(S.RESTARTING), True),
        (RunEnded(started_at=BEFORE), container(S.RUNNING, AFTER), True),
        (RunEnded(started_at=BEFORE), None, True),
        (RunsAnew(started_at=BEFORE), container(S.RUNNING, AFTER), True),
        (RunsAnew(started_at=BEFORE), container(S.RUNNING), False),
        (RunsAnew(started_at=BEFORE), container(S.EXITED, AFTER), False),
        (RunsAnew(started_at=BEFORE), None, False),
    ],
)
def test_facts_show_what_is_looked_for(look: Look, facts: ContainerFacts | None, *, shown: bool) -> None:
    """Each look is satisfied by exactly the states and runs it names; a container that is gone has ended its run."""
    assert seen(look, facts) is shown


@pytest.mark.parametrize(
    ("facts", "gone", "state"),
    [
        (container(S.RUNNING), True, Need.NEEDED),
        (container(S.EXITED), True, Need.NEEDED),
        (container(S.RUNNING, AFTER), True, Need.NEEDED),
        (IN, False, Need.DONE),
        (None, False, Need.GONE),
    ],
)
def test_a_place_in_a_network_is_owed_to_every_run(facts: ContainerFacts | None, gone: bool, state: Need) -> None:
    """It is given back to a later run and to a container that is down, and never twice; exit codes say nothing."""
    undo = Undo(
        container_id="c1", name="web", started_at=BEFORE, needed_in=tuple(S), restores=None, attaches="net",
        command=DockerCommand(argv=("network", "connect", "net", "c1")),
    )  # fmt: skip
    assert seen(Detached(network="net"), facts) is gone
    assert need(undo, facts, attempted=False) is need(undo, facts, attempted=True) is state
    assert undo.looked_at


def test_a_signal_is_seen_in_the_events_alone() -> None:
    """Only a kill event with that signal, by name or number, counts."""
    look = SignalSeen(signals=("SIGHUP", "1"))

    def kill(signal: str, action: str = "kill") -> EngineEvent:
        return EngineEvent(at=1.0, type="container", action=action, signal=signal)

    assert seen(look, None, [kill("1")])
    assert seen(look, None, [kill("9"), kill("SIGHUP")])
    assert not seen(look, container(S.RUNNING), [kill("9"), kill("1", action="die")])


def test_a_users_command_is_seen_in_its_exit_code() -> None:
    """Where there is nothing to look at, only a command that ran and succeeded counts."""
    assert seen(Succeeded(), None, outcome=Outcome(exit_code=0))
    assert not seen(Succeeded(), None, outcome=Outcome(exit_code=1))
    assert not seen(Succeeded(), None)


def undo(restores: ContainerState | None, *needed_in: ContainerState) -> Undo:
    """An undo of the run that began BEFORE."""
    return Undo(
        container_id="c1",
        name="web",
        started_at=BEFORE,
        command=DockerCommand(argv=("x", "c1")),
        needed_in=needed_in,
        restores=restores,
    )


START = undo(S.RUNNING, S.EXITED, S.CREATED, S.DEAD)
UNPAUSE = undo(S.RUNNING, S.PAUSED)
EXEC = undo(None, S.RUNNING, S.PAUSED)


@pytest.mark.parametrize(
    ("wanted", "facts", "attempted", "expected"),
    [
        (START, container(S.EXITED), False, Need.NEEDED),
        (START, container(S.RUNNING), False, Need.DONE),
        (START, container(S.RUNNING, AFTER), False, Need.DONE),
        (START, container(S.EXITED, AFTER), False, Need.SUPERSEDED),
        (START, container(S.EXITED, AFTER), True, Need.NEEDED),
        (START, container(S.PAUSED), False, Need.SUPERSEDED),
        (UNPAUSE, container(S.PAUSED), False, Need.NEEDED),
        (UNPAUSE, container(S.EXITED), False, Need.SUPERSEDED),
        (UNPAUSE, container(S.PAUSED, AFTER), False, Need.SUPERSEDED),
        (EXEC, container(S.RUNNING), False, Need.NEEDED),
        (EXEC, container(S.PAUSED), True, Need.NEEDED),
        (EXEC, container(S.RUNNING, AFTER), True, Need.SUPERSEDED),
        (EXEC, container(S.EXITED), False, Need.SUPERSEDED),
    ],
)
def test_an_undo_is_needed_for_its_own_run_only(
    wanted: Undo, facts: ContainerFacts, expected: Need, *, attempted: bool
) -> None:
    """An undo runs while the run it was planned for is in a state it mends, or after an attempt of ours fell short."""
    assert need(wanted, facts, attempted=attempted) is expected


@pytest.mark.parametrize(("wanted", "attempted"), list(itertools.product([START, UNPAUSE, EXEC], [False, True])))
def test_a_container_that_is_gone_needs_nothing(wanted: Undo, *, attempted: bool) -> None:
    """Nothing can be put back in a container that was removed."""
    assert need(wanted, None, attempted=attempted) is Need.GONE


@given(st.sampled_from([START, UNPAUSE]), st.sampled_from(S), st.sampled_from([BEFORE, AFTER]), st.booleans())
def test_what_is_restored_needs_no_undo(wanted: Undo, state: ContainerState, started_at: str, attempted: bool) -> None:
    """Whatever the run, an undo is done exactly when the container is in the state it restores."""
    judged = need(wanted, container(state, started_at), attempted=attempted)
    assert (judged is Need.DONE) == (state is wanted.restores)


@pytest.mark.parametrize(
    ("started_at", "ours"),
    [
        ("2026-01-01T00:00:05.1Z", True),
        ("2026-01-01T00:00:05Z", True),
        ("2026-01-01T00:00:05.123Z", True),
        ("2026-01-01T00:00:05.1230001Z", False),
        ("2026-01-01T00:00:06Z", False),
    ],
)
def test_an_unseen_inject_owes_the_run_it_may_have_hit(started_at: str, *, ours: bool) -> None:
    """Where nobody saw the effect, the run that was up when it was fired is owed the undo, to the nanosecond."""
    judged = need(UNPAUSE, container(S.PAUSED, started_at), attempted=False, unseen_since="2026-01-01T00:00:05.123Z")
    assert (judged is Need.NEEDED) == ours
