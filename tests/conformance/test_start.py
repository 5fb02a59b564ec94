"""OTP's cases about starting: 1 to 15, and 49."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.supervision import (
    ChildContext,
    ChildRefused,
    ChildSpec,
    ChildState,
    Declined,
    Refusal,
    ReportKind,
    Restart,
    SpecError,
    StartFailed,
    Strategy,
    SupervisorSpec,
    count_children,
)
from tests.conformance.rows import row
from tests.conformance.stage import HANG, SILENT, Stage, always

pytestmark = pytest.mark.anyio

POOL = SupervisorSpec("root", strategy=Strategy.POOL)


async def quiet(context: ChildContext) -> None:
    """Live until asked to stop."""
    context.ready()
    await context.stopping.wait()


@row("1")
async def test_sup_start_normal(stage: Stage) -> None:
    """An empty supervisor starts, and stops cleanly when asked."""
    async with stage.play(SupervisorSpec("root")) as play:
        up = play.supervisor.snapshot
    assert stage.outcome is None
    assert (up.root.state, play.supervisor.snapshot.root.state) == (ChildState.RUNNING, ChildState.STOPPED)


@row("2")
async def test_sup_start_ignore_init(stage: Stage) -> None:
    """A child may decline before it has built the supervisor it would have been: nothing runs and nothing failed."""
    built: list[str] = []

    async def perhaps(context: ChildContext) -> None:
        if not built:
            raise Declined("nothing is configured")
        await stage.supervisor(SupervisorSpec("inner", (stage.child("a"),))).run()

    async with stage.play(SupervisorSpec("root", (stage.child("maybe", start=perhaps),))) as play:
        assert play.running == []
        assert stage.kinds() == []
    assert stage.outcome is None


@row("3")
async def test_sup_start_ignore_child(stage: Stage) -> None:
    """A permanent child that declines keeps its spec and is not active; the next one starts."""
    stage.part("a", starts=always(Declined("not here")))
    async with stage.play(SupervisorSpec("root", (stage.child("a"), stage.child("b")))) as play:
        assert play.state("a") is ChildState.STOPPED
        assert play.running == ["root/b"]
        counts = count_children(play.supervisor.snapshot.root)
        assert (counts.specs, counts.active) == (2, 1)


@row("4")
async def test_sup_start_ignore_temporary_child(stage: Stage) -> None:
    """A temporary child that declines at boot leaves no spec."""
    stage.part("a", starts=always(Declined()))
    spec = SupervisorSpec("root", (stage.child("a", Restart.TEMPORARY), stage.child("b")))
    async with stage.play(spec) as play:
        assert play.view("a") is None
        assert play.running == ["root/b"]


@row("5")
async def test_sup_start_ignore_temporary_child_start_child(stage: Stage) -> None:
    """A temporary child that declines when an operator starts it leaves no spec."""
    stage.part("a", starts=always(Declined()))
    async with stage.play(SupervisorSpec("root")) as play:
        with pytest.raises(ChildRefused) as refused:
            await play.supervisor.start_child(stage.child("a", Restart.TEMPORARY))
        assert refused.value.reason is Refusal.DECLINED
        assert play.supervisor.snapshot.children == ()


@row("6", "7")
@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.PERMANENT])
async def test_sup_start_ignore_child_start_child_simple(stage: Stage, restart: Restart) -> None:
    """A pool member that declines is not kept, whatever its restart class, and the pool still stops cleanly."""
    stage.part("a", starts=always(Declined()))
    async with stage.play(POOL) as play:
        with pytest.raises(ChildRefused):
            await play.supervisor.start_child(stage.child("a", restart))
        assert play.supervisor.snapshot.children == ()
    assert stage.outcome is None


@row("8")
@pytest.mark.parametrize("plan", [SILENT, HANG])
async def test_sup_start_error_return(stage: Stage, plan: str) -> None:
    """A child that does not keep the agreement fails its supervisor's start with a typed error; nothing is left."""
    stage.part("b", starts=always(plan))
    async with stage.play(SupervisorSpec("root", (stage.child("a"), stage.child("b")))):
        await stage.ended.wait()
    assert isinstance(stage.outcome, StartFailed)
    assert stage.outcome.child == "root/b"
    assert [part.alive for part in stage.parts.values()] == [0, 0]


@row("9")
async def test_sup_start_fail(stage: Stage) -> None:
    """What a child raises at its start reaches whoever started the supervisor."""
    stage.part("a", starts=always(OSError("no such port")))
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))):
        await stage.ended.wait()
    assert isinstance(stage.outcome, StartFailed)
    assert stage.outcome.cause == "OSError: no such port"


@row("10", "12")
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.POOL])
async def test_sup_start_child_returns_error(stage: Stage, strategy: Strategy) -> None:
    """A failed start_child tells the cause and keeps no spec, so that the same id can be tried again."""
    stage.part("a", starts=lambda life: OSError("in use") if life == 1 else None)
    async with stage.play(SupervisorSpec("root", strategy=strategy)) as play:
        with pytest.raises(ChildRefused) as refused:
            await play.supervisor.start_child(stage.child("a"))
        assert refused.value.reason is Refusal.START_FAILED
        assert "OSError: in use" in refused.value.cause
        assert play.view("a") is None
        await play.supervisor.start_child(stage.child("a"))
        assert play.running == ["root/a"]
    assert stage.kinds() == [ReportKind.START_ERROR]


@row("11")
async def test_sup_start_restart_child_returns_error(stage: Stage) -> None:
    """A failed restart by hand tells the cause and leaves the spec present, the child not running."""
    stage.part("a", starts=lambda life: OSError("in use") if life == 2 else None)
    async with stage.play(SupervisorSpec("root", (stage.child("a"),))) as play:
        await play.supervisor.terminate_child("a")
        with pytest.raises(ChildRefused) as refused:
            await play.supervisor.restart_child("a")
        assert refused.value.reason is Refusal.START_FAILED
        await play.settle(60)
        assert play.state("a") is ChildState.STOPPED
        await play.supervisor.restart_child("a")
        assert play.running == ["root/a"]


@row("13")
async def test_sup_start_map(stage: Stage) -> None:
    """A child is permanent unless told; workers have 5 s to stop, supervisors all they need; specs are found by id."""
    worker = ChildSpec("w", quiet)
    nested = ChildSpec("s", SupervisorSpec("s"))
    assert (worker.restart, worker.stop_timeout_s, worker.kind) == (Restart.PERMANENT, 5.0, "worker")
    assert (nested.restart, nested.stop_timeout_s, nested.kind) == (Restart.PERMANENT, math.inf, "supervisor")
    async with stage.play(SupervisorSpec("root", (worker, nested))) as play:
        assert play.supervisor.child_spec("w") is worker
        assert play.supervisor.child_spec("root/s") is nested
        with pytest.raises(ChildRefused) as refused:
            play.supervisor.child_spec("x")
        assert refused.value.reason is Refusal.UNKNOWN


@row("14")
async def test_sup_start_map_simple(stage: Stage) -> None:
    """A pool member's spec is found by its id, which is its handle."""
    async with stage.play(POOL) as play:
        spec = stage.child("m")
        await play.supervisor.start_child(spec)
        assert play.supervisor.child_spec("m") is spec


@row("15")
def test_sup_start_map_faulty_specs() -> None:
    """A missing id or start is refused by name before anything starts, and so is an unknown key."""
    for wrong, named in (
        ({"start": quiet}, "'id'"),
        ({"id": "a"}, "'start'"),
        ({"id": "a", "start": quiet, "colour": "red"}, "'colour'"),
    ):
        with pytest.raises(TypeError, match=named):
            ChildSpec(**wrong)


MALFORMED = (
    ("id", ""),
    ("id", "a/b"),
    ("id", 7),
    ("start", "not callable"),
    ("restart", "sometimes"),
    ("significant", "yes"),
    ("critical", None),
    ("start_timeout_s", 0),
    ("start_timeout_s", -1.0),
    ("start_timeout_s", math.nan),
    ("stop_timeout_s", -0.1),
    ("stop_timeout_s", "brutal"),
    ("stop_timeout_s", True),
    ("cancel_timeout_s", -1),
    ("backoff", 3),
    ("quarantine_on", (ValueError(),)),
    ("quarantine_on", ValueError),
)


@row("26")
@pytest.mark.parametrize(("field", "value"), MALFORMED)
def test_child_specs(field: str, value: object) -> None:
    """Every malformed field of a child is refused with its own name and reason."""
    with pytest.raises(SpecError) as refused:
        ChildSpec(**{"id": "a", "start": quiet, field: value})  # type: ignore[arg-type]  # wrong on purpose
    assert refused.value.field == field
    assert refused.value.reason


SECONDS = st.one_of(st.just(math.inf), st.integers(0, 10), st.floats(0, 1000))


@row("26", "27")
@given(
    restart=st.sampled_from(Restart),
    significant=st.booleans(),
    critical=st.booleans(),
    start_timeout_s=SECONDS.filter(lambda seconds: seconds > 0),
    stop_timeout_s=SECONDS,
    cancel_timeout_s=SECONDS,
    start=st.sampled_from([quiet, SupervisorSpec("nested")]),
    quarantine_on=st.sampled_from([(), (OSError,), (OSError, ValueError)]),
)
def test_child_specs_map(restart: Restart, significant: bool, **rest: object) -> None:
    """Of the product of all legal values only a significant permanent child is refused."""

    def make() -> ChildSpec:
        return ChildSpec("a", restart=restart, significant=significant, **rest)  # type: ignore[arg-type]  # drawn above

    if significant and restart is Restart.PERMANENT:
        with pytest.raises(SpecError) as refused:
            make()
        assert refused.value.field == "significant"
    else:
        assert make().significant is significant


@row("28")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("strategy", "one_for_none"),
        ("intensity", -1),
        ("intensity", 1.5),
        ("intensity", True),
        ("period_s", 0),
        ("period_s", -1),
        ("period_s", "5"),
        ("auto_shutdown", "sometimes"),
        ("strict_start", 1),
        ("children", []),
        ("children", ("a",)),
        ("children", (ChildSpec("a", quiet), ChildSpec("a", quiet))),
    ],
)
def test_sup_flags(field: str, value: object) -> None:
    """Every malformed field of a supervisor is refused with its own name."""
    with pytest.raises(SpecError) as refused:
        SupervisorSpec(**{"id": "root", field: value})  # type: ignore[arg-type]  # wrong on purpose
    assert refused.value.field == field


@row("28")
def test_significant_needs_auto_shutdown() -> None:
    """A significant child under a supervisor that never shuts itself down is refused; so is a pool with children."""
    child = ChildSpec("a", quiet, Restart.TEMPORARY, significant=True)
    with pytest.raises(SpecError, match="auto_shutdown is never"):
        SupervisorSpec("root", (child,))
    with pytest.raises(SpecError, match="a pool starts empty"):
        SupervisorSpec("root", (ChildSpec("a", quiet),), Strategy.POOL)


@row("49")
async def test_faulty_application_shutdown(stage: Stage) -> None:
    """The root cause of a failed start and its stack reach the top, through two supervisors."""

    async def faulty(context: ChildContext) -> None:
        settings: dict[str, str] = {}
        try:
            context.ready(settings["port"])
        except KeyError as error:
            raise RuntimeError("cannot configure") from error

    inner = SupervisorSpec("inner", (stage.child("faulty", start=faulty),))
    outer = SupervisorSpec("outer", (ChildSpec("inner", inner),))
    async with stage.play(SupervisorSpec("root", (ChildSpec("outer", outer),))):
        await stage.ended.wait()
    told = str(stage.outcome)
    assert isinstance(stage.outcome, StartFailed)
    assert "RuntimeError: cannot configure" in told
    assert "KeyError: 'port'" in told
    assert "in test_faulty_application_shutdown.<locals>.faulty" in told
