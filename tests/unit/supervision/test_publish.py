"""Snapshots are renewed after each transition, here and above, and share what did not change."""

from __future__ import annotations

import pytest

from coordinator.supervision import ChildSpec, ChildState, SupervisorSpec
from tests.conformance.stage import Stage

pytestmark = pytest.mark.anyio


async def test_a_change_below_renews_everything_above(stage: Stage) -> None:
    """The top's snapshot shows a change two levels down at once; untouched branches are the same objects."""
    inner = SupervisorSpec("inner", (stage.child("a"), stage.child("b")))
    middle = SupervisorSpec("middle", (ChildSpec("inner", inner),))
    async with stage.play(SupervisorSpec("root", (ChildSpec("middle", middle), stage.child("c")))) as play:
        before = play.supervisor.snapshot
        await play.crash("a")
        after = play.supervisor.snapshot
        changed, kept = after.find("middle/inner/a"), after.find("middle/inner/b")
        assert changed is not None
        assert changed.incarnation == 2
        assert kept is before.find("middle/inner/b")
        assert after.find("c") is before.find("c")
        old = before.find("middle/inner/a")
        assert old is not None
        assert old.incarnation == 1


async def test_nothing_changes_nothing(stage: Stage) -> None:
    """A request that changes nothing publishes nothing."""
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))) as play:
        count, snapshot = len(stage.snapshots), play.supervisor.snapshot
        await play.supervisor.ping()
        assert len(stage.snapshots) == count
        assert play.supervisor.snapshot is snapshot


async def test_children_are_shown_in_start_order(stage: Stage) -> None:
    """A child that was removed and added again is the last."""
    async with stage.play(SupervisorSpec("root", (stage.child("a"), stage.child("b")))) as play:
        await play.supervisor.terminate_child("a")
        await play.supervisor.delete_child("a")
        await play.supervisor.start_child(stage.child("a"))
        assert [view.id for view in play.supervisor.snapshot.children] == ["b", "a"]


async def test_a_supervisor_that_is_down_shows_no_children(stage: Stage) -> None:
    """What is below a stopped supervisor is gone, and not shown as if it were there."""
    inner = SupervisorSpec("inner", (stage.child("a"),))
    async with stage.play(SupervisorSpec("root", (ChildSpec("inner", inner),))) as play:
        await play.supervisor.terminate_child("inner")
        view = play.view("inner")
        assert view is not None
        assert (view.state, view.children) == (ChildState.STOPPED, ())
