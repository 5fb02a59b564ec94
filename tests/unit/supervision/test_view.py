"""Snapshots: finding, walking, counting."""

from __future__ import annotations

from coordinator.supervision import ChildState, Counts, Snapshot, count_children
from tests.unit.supervision.test_health import UP, view


def _tree() -> Snapshot:
    inner = view("root/s", ChildState.RUNNING, view("root/s/a"), view("root/s/b", ChildState.BACKOFF))
    return Snapshot(view("root", ChildState.RUNNING, inner, view("root/z")))


def test_find() -> None:
    """A path is found with or without the top's name in front; the top's name alone is the top."""
    tree = _tree()
    assert tree.find("s/a") is tree.find("root/s/a") is tree.children[0].children[0]
    assert tree.find("s/x") is tree.find("x/a") is None
    assert Snapshot(UP).find("root") is UP


def test_a_child_that_bears_the_name_of_the_top_wins() -> None:
    """A path is relative first: `root` is the child of that name where there is one."""
    tree = Snapshot(view("root", ChildState.RUNNING, view("root/root")))
    assert tree.find("root") is tree.children[0]


def test_walk_goes_parents_first() -> None:
    """All views come, parents before children, in start order."""
    assert [one.path for one in _tree().root.walk()] == ["root", "root/s", "root/s/a", "root/s/b", "root/z"]


def test_count() -> None:
    """A child in backoff has a spec and no body."""
    tree = _tree()
    assert count_children(tree.root) == Counts(specs=2, active=2, supervisors=1, workers=1)
    assert count_children(tree.children[0]) == Counts(specs=2, active=1, supervisors=0, workers=2)
