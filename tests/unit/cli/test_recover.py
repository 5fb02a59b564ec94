import json

import pytest

from coordinator.cli.tools import Tools
from coordinator.faults.commands import SET_HELPER_IMAGE, in_namespace
from coordinator.faults.leftovers import Leftover, LeftoverState, ScanReport
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


def found(state: LeftoverState, commands: tuple[str, ...] = ()) -> Leftover:
    """A lock."""
    return Leftover(
        kind="lock", name="tc-aaaaaaaaaaaa", where="web-1", instance="blue", execution="e1", why="of blue", state=state,
        text="done" if state is LeftoverState.UNDONE else "", commands=commands,
    )  # fmt: skip


def test_a_scan_tells_everything_it_found(call: Call) -> None:
    """`--scan` scans although nothing is outstanding, for the instances that are named, and prints one table."""
    report = ScanReport(found=(found(LeftoverState.UNDONE), found(LeftoverState.KEPT)), unable=("iptables: no",))
    control = ScriptedControl(scan=report)
    said = call("recover", "--scan", "--instance", "green", "--instance", "red", control=control)
    assert said.code == 0
    assert said.out.splitlines() == [
        "WHAT  NAME             WHERE  STATE   WHY      DONE",
        "lock  tc-aaaaaaaaaaaa  web-1  undone  of blue  done",
        "lock  tc-aaaaaaaaaaaa  web-1  kept    of blue",
    ]
    assert said.err.splitlines() == ["nothing is outstanding", "not looked at: iptables: no"]
    assert control.scanned == [("green", "red")]


def test_a_scan_that_leaves_something_ends_with_5(call: Call) -> None:
    """What a person has to act on is told with its commands."""
    report = ScanReport(found=(found(LeftoverState.LEFT, ("docker unpause a", "docker volume rm b")),))
    said = call("recover", "--scan", control=ScriptedControl(scan=report))
    assert said.code == 5
    assert said.err.splitlines()[1:] == ["left  lock on web-1: of blue", "  docker unpause a", "  docker volume rm b"]
    as_json = json.loads(call("recover", "--scan", "--json", control=ScriptedControl(scan=report)).out)
    assert (as_json["undone"], as_json["failed"], as_json["unable"]) == ([], {}, [])
    assert as_json["found"][0]["commands"] == ["docker unpause a", "docker volume rm b"]


def test_a_scan_needs_no_ledger(call: Call) -> None:
    """Where the ledger cannot be read, that is said, and the engine is scanned all the same; without --scan it is an
    error.
    """
    control = ScriptedControl(ledger_away=True)
    said = call("recover", "--scan", control=control)
    assert (said.code, control.scanned) == (0, [()])
    assert said.err.splitlines()[0] == "what the ledger knows cannot be read: no ledger"
    assert call("recover", control=control).code == 4


def test_a_damaged_ledger_is_scanned_for(call: Call) -> None:
    """`recover` without `--scan` scans for what a damaged ledger knew, tells it, and says that it is no all-clear."""
    report = ScanReport(found=(found(LeftoverState.UNDONE),))
    control = ScriptedControl(scan=report, ledger_damaged=True)
    connect = ScriptedConnect(control)
    said = call("recover", tools=Tools(connect=connect))
    assert (said.code, control.scanned, len(said.out.splitlines())) == (0, [()], 2)
    assert said.err == "the ledger was damaged: what it knew of faults is put back from what the engine shows\n"
    assert [recovery for _, recovery in connect.asked] == [False, True]
    assert json.loads(call("recover", "--json", control=control).out)["ledger_lost"] == "the engine was scanned"
    left = ScanReport(found=(found(LeftoverState.LEFT, ("docker unpause a",)),))
    assert call("recover", control=ScriptedControl(scan=left, ledger_damaged=True)).code == 5


def test_what_a_damaged_ledger_knew_may_be_left_while_the_engine_is_away(call: Call) -> None:
    """Then nobody can tell: exit code 5, with what to do."""
    said = call("recover", control=ScriptedControl(ledger_damaged=True, engine_away=True))
    assert said.code == 5
    assert said.err.splitlines()[1:] == [
        "the engine could not be scanned, something may be left broken: no engine",
        "once it answers, run `test-coordinator recover` again",
    ]


def test_options_that_do_not_go_together(call: Call) -> None:
    """`--instance` without `--scan`, and `--scan` with `--forget`, are wrong usage."""
    assert call("recover", "--instance", "green").code == 2
    assert call("recover", "--scan", "--forget", "f-1").code == 2


@pytest.mark.parametrize("name", ["", "bad name!", "-green", "a" * 64])
def test_an_instance_has_a_name_that_instances_have(call: Call, name: str) -> None:
    """What can be no coordinator's name is refused with what is allowed, and nothing is scanned."""
    control = ScriptedControl()
    said = call("recover", "--scan", "--instance", name, control=control)
    assert (said.code, control.scanned) == (2, [])
    assert f"{name!r}: allowed: letters, digits and hyphens" in said.err


def test_commands_can_be_pasted_where_the_helper_image_is_not_known(call: Call) -> None:
    """The line that sets it comes first, for each fault and each leftover that needs it, and with --forget."""
    command = in_namespace("a" * 64, "remove", "f-1").shown()
    stuck = ACTIVE.model_copy(update={"undo_commands": (command,)})
    lines = [f"  {SET_HELPER_IMAGE}", f"  {command}"]
    said = call("recover", control=ScriptedControl(outstanding=[stuck], stuck={stuck.id}))
    assert said.err.splitlines()[-2:] == lines
    report = ScanReport(found=(found(LeftoverState.LEFT, (command,)),))
    assert call("recover", "--scan", control=ScriptedControl(scan=report)).err.splitlines()[-2:] == lines
    assert (
        call("recover", "--forget", stuck.id, control=ScriptedControl(outstanding=[stuck])).err.splitlines()[-2:]
        == lines
    )
    assert f"{SET_HELPER_IMAGE}; {command}" in call("status", control=ScriptedControl(outstanding=[stuck])).out
