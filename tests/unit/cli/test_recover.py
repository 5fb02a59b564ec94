import json

from coordinator.cli.tools import Tools
from coordinator.record import FaultState
from tests.unit.cli import played
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import ScriptedConnect, ScriptedControl

ACTIVE = played.fault(FaultState.ACTIVE)


def test_everything_outstanding_is_undone_and_told(call: Call) -> None:
    """`recover` looks first without undoing, then undoes, and prints what was undone."""
    connect = ScriptedConnect(ScriptedControl(outstanding=[ACTIVE]))
    said = call("recover", tools=Tools(connect=connect))
    assert (said.code, said.out, said.err) == (0, "undone  container_kill on web-1 (f-1)\n", "")
    assert [recovery for _, recovery in connect.asked] == [False, True]


def test_nothing_outstanding(call: Call) -> None:
    """With an empty ledger nothing is started and the exit code is 0."""
    connect = ScriptedConnect(ScriptedControl())
    said = call("recover", tools=Tools(connect=connect))
    assert (said.code, said.out, said.err) == (0, "", "nothing is outstanding\n")
    assert [recovery for _, recovery in connect.asked] == [False]


def test_what_cannot_be_undone_is_left_to_a_person(call: Call) -> None:
    """A fault that stays ends with 5, with the reason and the commands to run."""
    said = call("recover", control=ScriptedControl(outstanding=[ACTIVE], stuck=["f-1"]))
    assert (said.code, said.out) == (5, "")
    assert said.err.splitlines() == [
        "not undone  container_kill on web-1 (f-1): the engine refused",
        f"  {played.UNDO}",
    ]


def test_as_json(call: Call) -> None:
    """`--json` prints ids undone, and reasons of those that were not."""
    said = call("recover", "--json", control=ScriptedControl(outstanding=[ACTIVE], stuck=["f-1"]))
    assert json.loads(said.out) == {"undone": [], "failed": {"f-1": "the engine refused"}}


def test_a_fault_is_forgotten_with_its_undo_told(call: Call) -> None:
    """`--forget` gives one fault up without recovering anything, and prints what nobody will run any more."""
    control = ScriptedControl(outstanding=[ACTIVE])
    connect = ScriptedConnect(control)
    said = call("recover", "--forget", "f-1", tools=Tools(connect=connect))
    assert (said.code, said.out) == (0, "forgotten  container_kill on web-1 (f-1)\n")
    assert f"  {played.UNDO}" in said.err.splitlines()
    assert [recovery for _, recovery in connect.asked] == [False]
    assert call("recover", control=control).err == "nothing is outstanding\n"


def test_an_unknown_fault_cannot_be_forgotten(call: Call) -> None:
    """`--forget` of what is not outstanding ends with 2."""
    assert call("recover", "--forget", "nonsuch").code == 2
