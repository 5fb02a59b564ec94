"""Which lines say that nothing was done to a container, as engines and helpers write them."""

import pytest

from coordinator.faults.commands import DockerCommand, Outcome
from coordinator.faults.lifecycle import CRASH
from coordinator.faults.refusals import done_to, network_gone, refusal

ID, OTHER = "c" * 64, "d" * 64
DAEMON = "Error response from daemon: "


@pytest.mark.parametrize(
    ("argv", "line", "nothing_done"),
    [
        (("pause", ID), f"{DAEMON}Container {ID} is already paused", True),
        (("pause", ID), f"{DAEMON}container {ID} is not running", True),
        (("pause", OTHER, ID), f"{DAEMON}Container {OTHER} is already paused", False),
        (("kill", ID), f"{DAEMON}Cannot kill container: {ID}: Container {ID} is not running", True),
        (("kill", ID), f"{DAEMON}Cannot kill container: {ID}: tried to kill container, but did not see it end", False),
        (("stop", ID), f"{DAEMON}No such container: {ID}", True),
        (("stop", ID), f"{DAEMON}cannot stop container: {ID}: container {ID} is not running", False),
        (("restart", ID), f"{DAEMON}Cannot restart container {ID}: container {ID} is not running", False),
        (("network", "disconnect", "net", ID), f"{DAEMON}container {ID} is not connected to network net", True),
        (("network", "disconnect", "net", ID), f"{DAEMON}network net not found", True),
        ((*CRASH, ID), f"{ID[:12]}: no process of this container is seen from here: is it on this very host?", True),
        ((*CRASH, ID), f"{OTHER[:12]}: process 17 is gone", False),
    ],
)
def test_a_refusal_is_told_from_a_failure(argv: tuple[str, ...], line: str, *, nothing_done: bool) -> None:
    """Only what certainly did nothing to this very container is one; a command that ended well never is."""
    command = DockerCommand(argv=argv)
    assert bool(refusal(command, Outcome(exit_code=1, stderr=f"{line}\n"), ID)) is nothing_done
    assert refusal(command, Outcome(exit_code=0, stderr=line), ID) == ""
    assert refusal(command, Outcome(exit_code=None, stderr=line, timed_out=True), ID) == ""


def test_of_many_each_is_told_apart() -> None:
    """The command line prints the containers it was done to."""
    command = DockerCommand(argv=("pause", ID, OTHER))
    outcome = Outcome(exit_code=1, stdout=f"{OTHER}\n", stderr=f"{DAEMON}Container {ID} is already paused\n")
    assert [done_to(outcome, each) for each in (ID, OTHER)] == [False, True]
    assert [refusal(command, outcome, each) for each in (ID, OTHER)] == [f"Container {ID} is already paused", ""]


@pytest.mark.parametrize("line", ["network net not found", "No such network: net"])
def test_a_network_that_is_gone(line: str) -> None:
    """Told of the very network that was asked for."""
    refused = Outcome(exit_code=1, stderr=f"{DAEMON}{line}")
    assert network_gone(DockerCommand(argv=("network", "connect", "--ip", "1.2.3.4", "net", ID)), refused)
    assert not network_gone(DockerCommand(argv=("network", "connect", "other", ID)), refused)
    assert not network_gone(DockerCommand(argv=("start", "net", ID)), refused)
