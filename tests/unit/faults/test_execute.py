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


@pytest.mark.parametrize("field", ["command", "undo_command"])
@pytest.mark.parametrize("wrong", [[], [""], [" ", "x"], "touch /x", None, [["touch"]]])
def test_a_command_is_a_list_of_words(field: str, wrong: object) -> None:
    """An empty list, a program without a name, or a line that would need a shell, is refused; also as an undo."""
    with pytest.raises(ValidationError):
        fault(**{field: wrong})


def test_an_empty_command_is_refused_in_words() -> None:
    """What is due, with an example; and that nothing has to be written where there is no undo."""
    with pytest.raises(ValidationError, match=r"a list of words, the program first, like \[rm, -f, /tmp/off\] \["):
        fault(command=[""])
    with pytest.raises(ValidationError, match="leave it out where there is nothing to put back"):
        fault(undo_command=[])
    assert fault(command=["grep", ""]).command == ("grep", "")


def test_a_fault_that_would_end_as_it_begins_is_refused() -> None:
    """With what is meant by no duration at all; the shortest one is taken."""
    with pytest.raises(ValidationError, match="above 0s: it would end as it begins; without `for` it lasts to"):
        fault(**{"for": "0s"})
    assert fault(**{"for": "1ms"}).lasts == 0.001
