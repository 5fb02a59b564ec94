import pytest
from pydantic import ValidationError

from coordinator.faults.execute import ExecFault
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.looks import Succeeded, need
from coordinator.faults.needs import Need


def fault(**parameters: object) -> ExecFault:
    """An exec fault with these parameters."""
    return ExecFault.model_validate({"type": "exec", "target": "t", "command": ["touch", "-c", "/x y"]} | parameters)


def container(state: ContainerState = ContainerState.RUNNING, started_at: str = "1") -> ContainerFacts:
    """The container the command runs in."""
    return ContainerFacts(id="c1", name="web", image="i", state=state, started_at=started_at)


def test_the_command_reaches_the_container_word_for_word() -> None:
    """The argument list follows the container's id unchanged, so no word of it is read by a shell or as an option."""
    (target,) = fault().plan([container()]).targets

    assert target.inject.argv == ("exec", "c1", "touch", "-c", "/x y")
    assert target.effect == Succeeded()


def test_without_an_undo_command_nothing_is_owed() -> None:
    """The undo is the user's; where none is given there is none."""
    assert fault().plan([container()]).undos == ()


def test_the_undo_command_is_owed_to_the_same_run() -> None:
    """It runs in the run it was planned for, waits out a pause, and is not run in a later run."""
    (undo,) = fault(undo_command=["rm", "/x y"]).plan([container()]).undos

    assert undo.command.argv == ("exec", "c1", "rm", "/x y")
    assert need(undo, container(), attempted=False) is Need.NEEDED
    assert need(undo, container(ContainerState.PAUSED), attempted=False) is Need.NEEDED
    assert need(undo, container(started_at="2"), attempted=True) is Need.SUPERSEDED


def test_what_does_not_run_is_left_alone() -> None:
    """A command cannot run in a paused or stopped container."""
    plan = fault().plan([container(ContainerState.PAUSED)])

    assert plan.targets == ()
    assert [left.why for left in plan.untouched] == ["is paused, not running: left alone"]


@pytest.mark.parametrize("wrong", [[], "touch /x", None])
def test_a_command_is_a_list_of_words(wrong: object) -> None:
    """An empty list, or a line that would need a shell, is refused."""
    with pytest.raises(ValidationError):
        fault(command=wrong)
