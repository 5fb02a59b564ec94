import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.faults.commands import DockerCommand
from coordinator.faults.facts import ContainerState, LockedUndo, TargetLock
from coordinator.faults.locks import (
    LABEL_OWED,
    LABEL_UNDO,
    holder_text,
    lock_command,
    parse_lock,
    sweep,
    takes_rules_out,
    undo_from_labels,
    unlock_command,
)
from coordinator.faults.looks import Undo
from coordinator.identity import LABEL_EXPIRES, LABEL_ROLE

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)

ID = "c" * 64
RUN = "2026-01-02T03:00:00.123456789Z"


def undo_of(*argv: str, restores: ContainerState | None = ContainerState.RUNNING) -> Undo:
    """How a paused container is put back by a command."""
    return Undo(
        container_id=ID, name="web-1", started_at=RUN, command=DockerCommand(argv=argv),
        needed_in=(ContainerState.PAUSED,), restores=restores, settle_s=3.0,
    )  # fmt: skip


def labelled(*argv: str, restores: ContainerState | None = ContainerState.RUNNING) -> LockedUndo:
    """The same as it comes back from the labels of a lock."""
    lock = parse_lock(*read_back(lock_command(ID, "blue", "e1", "", 1.0, [undo_of(*argv, restores=restores)]).argv))
    assert lock is not None
    assert lock.undos is not None
    (found,) = lock.undos
    return found


def read_back(argv: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Name and labels of the volume that this command creates."""
    assert argv[:2] == ("volume", "create")
    labels = [argv[index + 1] for index, part in enumerate(argv) if part == "--label"]
    return argv[-1], dict(label.split("=", 1) for label in labels)


@given(texts, texts, st.floats(1, 4e9), st.lists(st.lists(texts, min_size=1), unique_by=tuple))
def test_a_lock_reads_back_as_it_was_written(
    execution: str, fault: str, expires: float, argvs: list[list[str]]
) -> None:
    """Whatever the undo commands hold, the labels give back the lock; its deadline to the millisecond."""
    undos = [undo_of(*argv) for argv in argvs]
    command = lock_command("c1", "blue", execution, fault, expires, undos)

    lock = parse_lock(*read_back(command.argv))

    assert lock is not None
    assert (lock.container_id, lock.instance, lock.execution, lock.fault) == ("c1", "blue", execution, fault)
    assert lock.undo == tuple(undo.command.shown() for undo in undos)
    assert lock.undos is not None
    assert [list(undo.argv) for undo in lock.undos] == argvs
    assert lock.expires == pytest.approx(expires, abs=0.001)


def test_unlocking_removes_the_same_volume() -> None:
    """Lock and unlock name one volume, which carries the container's id."""
    assert lock_command("c1", "i", "e", "f", 1.0, []).argv[-1] == unlock_command("c1").argv[-1] == "tc-c1"


@pytest.mark.parametrize(
    ("name", "labels"), [("tc-c1", {}), ("tc-c1", {LABEL_ROLE: "helper"}), ("data", {LABEL_ROLE: "lock"})]
)
def test_another_volume_is_no_lock(name: str, labels: dict[str, str]) -> None:
    """A volume without the role or without the name is somebody else's."""
    assert parse_lock(name, labels) is None


def test_a_volume_without_labels_is_a_torn_lock() -> None:
    """Named as the lock of a container and with no label at all: the engine died while it made it. Nobody holds it."""
    torn = parse_lock(f"tc-{ID}", {})
    assert torn == TargetLock(container_id=ID, instance="", execution="", torn=True)
    assert parse_lock(f"tc-{ID}", {"by": "somebody"}) is None
    assert parse_lock(f"my-tc-{ID}", {}) is None
    assert holder_text(torn).endswith(f"recovery removes it, and so does `docker volume rm tc-{ID}`")


@pytest.mark.parametrize("wrong", ["", "soon", "1e999", "nan", json.dumps({"a": 1})])
def test_a_lock_with_labels_that_do_not_read_is_a_lock(wrong: str) -> None:
    """Labels that make no sense leave their field empty and the lock in place."""
    lock = parse_lock("tc-c1", {LABEL_ROLE: "lock", LABEL_EXPIRES: wrong, LABEL_UNDO: wrong, LABEL_OWED: wrong})

    assert lock == TargetLock(container_id="c1", instance="", execution="")


@pytest.mark.parametrize("argv", [("unpause", ID), ("start", ID)])
def test_what_may_be_run_from_labels_decides_as_the_undo_itself(argv: tuple[str, ...]) -> None:
    """Unpause and start of the lock's own container come back with all by which their need is judged."""
    states = (ContainerState.PAUSED,) if argv[0] == "unpause" else (ContainerState.EXITED, ContainerState.RESTARTING)
    undo = undo_of(*argv).model_copy(update={"needed_in": states})
    lock = parse_lock(*read_back(lock_command(ID, "blue", "e1", "", 1.0, [undo]).argv))
    assert lock is not None
    assert [undo_from_labels(ID, locked) for locked in lock.undos or ()] == [undo]


@pytest.mark.parametrize(
    "argv",
    [
        (), ("unpause",), ("unpause", "d" * 64), ("unpause", ID, ID), ("unpause", "--help", ID), ("start", "-a", ID),
        ("rm", ID), ("exec", ID, "rm", "-rf", "/"), ("run", "--privileged", "busybox"), ("--host", "tcp://x", ID),
    ],
)  # fmt: skip
def test_nothing_else_is_run_from_labels(argv: tuple[str, ...]) -> None:
    """Another verb, another container, an option more: the undo is for a person to judge."""
    assert undo_from_labels(ID, labelled(*argv)) is None


def test_a_known_verb_is_run_for_its_own_purpose_only() -> None:
    """Not where it would be called for in a running container, or has no state to be seen by, or on a name."""
    locked = labelled("unpause", ID)
    assert undo_from_labels(ID, locked) is not None
    assert undo_from_labels(ID, locked.model_copy(update={"needed_in": (ContainerState.RUNNING,)})) is None
    assert undo_from_labels(ID, locked.model_copy(update={"restores": None})) is None
    assert undo_from_labels("web-1", locked.model_copy(update={"argv": ("unpause", "web-1")})) is None


@pytest.mark.parametrize("other", ['{"v":2,"undos":[]}', '{"v":1}', '{"v":1,"undos":[],"more":1}', "[]"])
def test_labels_of_another_version_are_not_guessed_at(other: str) -> None:
    """What does not read to the letter is told as unreadable, which is not the same as owing nothing."""
    lock = parse_lock("tc-c1", {LABEL_ROLE: "lock", LABEL_OWED: other})
    assert lock is not None
    assert lock.undos is None
    empty = parse_lock(*read_back(lock_command(ID, "blue", "e1", "", 1.0, []).argv))
    assert empty is not None
    assert empty.undos == ()


def test_rules_are_known_by_the_program_that_takes_them_out() -> None:
    """Whatever the fault is called, or before it has an id; no other use of that program, and no other command."""
    program = ("python3", "-I", "-S", "/usr/local/lib/test-coordinator/actors/docker/programs/netns.py")
    assert takes_rules_out(labelled("run", *program, "remove", "01234567-89ab-cdef-0123-456789abcdef"))
    assert takes_rules_out(labelled("run", *program, "remove", "{fault}"))
    assert not takes_rules_out(labelled("run", *program, "look"))
    assert not takes_rules_out(labelled("exec", *program, "remove", "x"))
    assert not takes_rules_out(labelled("unpause", ID))
    assert not takes_rules_out(labelled())


@pytest.mark.parametrize(
    ("program", "rights"), [("limits.py", []), ("signals.py", ["KILL"]), ("clock.py", ["SYS_PTRACE"])]
)
def test_what_a_container_keeps_itself_is_taken_back_by_a_command_of_ours(program: str, rights: list[str]) -> None:
    """Whatever the labels say beside the program's name; none for another container, another use or another program."""
    path = f"/usr/local/lib/test-coordinator/actors/docker/programs/{program}"
    found = sweep(ID, labelled("run", "--privileged", "evil", path, "remove", "{fault}", ID))
    assert found is not None
    assert found.argv[-4:] == (path, "remove", "all", ID)
    assert {"--privileged", "evil"}.isdisjoint(found.argv)
    assert [found.argv[at + 1] for at, word in enumerate(found.argv) if word == "--cap-add"] == rights
    assert sweep("d" * 64, labelled("run", path, "remove", "{fault}", ID)) is None
    assert sweep(ID, labelled("run", path, "put", "{fault}", ID)) is None
    assert sweep(ID, labelled("run", path.replace(program, "netns.py"), "remove", "{fault}", ID)) is None
    assert sweep(ID, labelled()) is None


def test_the_holder_is_named() -> None:
    """A person reads who holds the lock and until when, as far as it is known."""
    lock = TargetLock(container_id="c1", instance="blue", execution="e1", expires=1767225600.0)

    assert holder_text(lock) == "held by blue, execution e1 until 2026-01-01T00:00:00Z"
    unknown = TargetLock(container_id="c1", instance="", execution="")
    assert holder_text(unknown) == "held by an unnamed coordinator, execution unknown"
