"""OTP's cases about nested supervisors: 54 and 77."""

from __future__ import annotations

import pytest

from coordinator.supervision import ChildRefused, ChildSpec, ChildState, Refusal, SupervisorSpec
from tests.conformance.rows import row
from tests.conformance.stage import Stage

pytestmark = pytest.mark.anyio


@row("54")
async def test_tree(stage: Stage) -> None:
    """Only a dead worker restarts; one crash too many restarts its supervisor with all it was specified with."""
    inner = SupervisorSpec("inner", (stage.child("a"), stage.child("b")), intensity=1)
    other = SupervisorSpec("other", (stage.child("c"),))
    spec = SupervisorSpec("root", (ChildSpec("inner", inner), ChildSpec("other", other)))
    async with stage.play(spec) as play:
        await play.crash("a")
        assert play.lives == {"a": 2, "b": 1, "c": 1}
        await play.supervisor.start_child(stage.child("extra"), under="inner")
        await play.supervisor.terminate_child("inner/b")
        assert play.running == ["root/inner/a", "root/inner/extra", "root/other/c"]
        await play.crash("a")  # one too many: the supervisor itself is restarted
        assert play.running == ["root/inner/a", "root/inner/b", "root/other/c"]
        assert play.lives == {"a": 3, "b": 2, "c": 1, "extra": 1}
        inside = play.view("inner")
        assert inside is not None
        assert (inside.incarnation, inside.restarts) == (2, 1)
        assert inside.last_error is not None
        assert inside.last_error.startswith("Escalated: child root/inner/a: more than 1 restarts")
    assert stage.outcome is None


@row("77")
async def test_simple_global_supervisor(stage: Stage) -> None:
    """A worker, or its supervisor, that is killed comes back under the same path, and its lives are counted on."""
    inner = SupervisorSpec("inner", (stage.child("w"),))
    async with stage.play(SupervisorSpec("root", (ChildSpec("inner", inner),))) as play:
        await play.supervisor.crash_child("inner/w")
        await play.settle()
        await play.supervisor.crash_child("inner")
        await play.settle()
        worker = play.view("root/inner/w")
        assert worker is not None
        assert (worker.state, worker.incarnation) == (ChildState.RUNNING, 3)
        assert stage.parts["w"].most_alive == 1


@row("54", "23")
async def test_paths(stage: Stage) -> None:
    """A path leads through running supervisors only, and each dead end is told apart."""
    spec = SupervisorSpec("root", (ChildSpec("inner", SupervisorSpec("inner")), stage.child("w")))
    async with stage.play(spec) as play:
        await play.supervisor.terminate_child("root/inner")
        for path, reason in (
            ("inner/x", Refusal.NOT_RUNNING),
            ("nowhere/x", Refusal.UNKNOWN),
            ("w/x", Refusal.NOT_RUNNING),
        ):
            with pytest.raises(ChildRefused) as refused:
                await play.supervisor.terminate_child(path)
            assert refused.value.reason is reason
        assert play.supervisor.snapshot.find("inner/x") is None
        assert play.supervisor.snapshot.find("root/w") is play.supervisor.snapshot.find("w")
