import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.faults.facts import TargetLock
from coordinator.faults.locks import LABEL_UNDO, holder_text, lock_command, parse_lock, unlock_command
from coordinator.identity import LABEL_EXPIRES, LABEL_ROLE

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


def read_back(argv: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Name and labels of the volume that this command creates."""
    assert argv[:2] == ("volume", "create")
    labels = [argv[index + 1] for index, part in enumerate(argv) if part == "--label"]
    return argv[-1], dict(label.split("=", 1) for label in labels)


@given(texts, texts, st.floats(1, 4e9), st.lists(texts))
def test_a_lock_reads_back_as_it_was_written(execution: str, fault: str, expires: float, undo: list[str]) -> None:
    """Whatever the undo commands hold, the labels give back the lock; its deadline to the millisecond."""
    command = lock_command("c1", "blue", execution, fault, expires, undo)

    lock = parse_lock(*read_back(command.argv))

    assert lock is not None
    assert (lock.container_id, lock.instance, lock.execution, lock.fault) == ("c1", "blue", execution, fault)
    assert lock.undo == tuple(undo)
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


@pytest.mark.parametrize("wrong", ["", "soon", "1e999", "nan", json.dumps({"a": 1})])
def test_a_lock_with_labels_that_do_not_read_is_a_lock(wrong: str) -> None:
    """Labels that make no sense leave their field empty and the lock in place."""
    lock = parse_lock("tc-c1", {LABEL_ROLE: "lock", LABEL_EXPIRES: wrong, LABEL_UNDO: wrong})

    assert lock == TargetLock(container_id="c1", instance="", execution="")


def test_the_holder_is_named() -> None:
    """A person reads who holds the lock and until when, as far as it is known."""
    lock = TargetLock(container_id="c1", instance="blue", execution="e1", expires=1767225600.0)

    assert holder_text(lock) == "held by blue, execution e1 until 2026-01-01T00:00:00Z"
    unknown = TargetLock(container_id="c1", instance="", execution="")
    assert holder_text(unknown) == "held by an unnamed coordinator, execution unknown"
