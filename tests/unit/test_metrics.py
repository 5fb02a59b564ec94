import re
import time
from uuid import uuid4

import anyio
import pytest

from coordinator.identity import Identity
from coordinator.metrics import LAG_WINDOW, Metrics, actors_of, watch_loop_lag
from coordinator.record import Verdict
from coordinator.supervision import ChildState, ChildView, Snapshot

IDENTITY = Identity("test-coordinator", "test-coordinator-Chaos1", "testing", "1.2.3", "schema", "namespace")
NAMES = {
    "info", "actor_up", "actor_restarts_total", "executions_total", "executions_active", "faults_injected_total",
    "faults_active", "fault_inject_seconds", "fault_undo_seconds", "docker_command_seconds", "probe_samples_total",
    "event_loop_lag_seconds", "log_messages_lost_total", "outbox_lag", "http_requests_total", "http_request_seconds",
}  # fmt: skip


def view(name: str, *children: ChildView, state: ChildState = ChildState.RUNNING) -> ChildView:
    """A child at one moment."""
    return ChildView(
        name, f"root/{name}", "worker", state, critical=True, incarnation=1, restarts=3, since=0.0, children=children
    )


def snapshot(*children: ChildView) -> Snapshot:
    """A root with these children."""
    return Snapshot(view("root", *children))


def used() -> Metrics:
    """Metrics of which each has been told something."""
    metrics = Metrics(IDENTITY)
    metrics.follow(lambda: snapshot(view("chaos"), view("ledger", state=ChildState.BACKOFF)))
    metrics.execution_finished(Verdict.PASSED)
    metrics.executions_active(2)
    metrics.fault_injected("container_kill", "active", 0.02)
    metrics.fault_undone("container_kill", 0.3)
    metrics.faults_active({"container_kill": 1})
    metrics.docker_command("kill", 0.03)
    metrics.probe_sample("http", "good")
    metrics.event_loop_lag(0.01)
    metrics.log_messages_lost(2)
    metrics.outbox_lag(7)
    metrics.http_request("GET", "/api/v1/health", 200, 0.001)
    return metrics


def sample(metrics: Metrics, series: str) -> float:
    """The value of one series."""
    found = re.search(rf"^test_coordinator_{re.escape(series)} (\S+)$", metrics.render().decode(), re.MULTILINE)
    assert found is not None, metrics.render().decode()
    return float(found[1])


def test_names_are_those_of_the_contract() -> None:
    """Every metric of the contract is there, and no other."""
    names = set(re.findall(r"^# TYPE test_coordinator_(\S+)", used().render().decode(), re.MULTILINE))
    assert names == NAMES


@pytest.mark.parametrize(
    ("series", "value"),
    [
        ('executions_total{verdict="passed"}', 1),
        ('executions_total{verdict="aborted"}', 0),
        ("executions_active", 2),
        ('faults_injected_total{outcome="active",type="container_kill"}', 1),
        ('fault_inject_seconds_sum{type="container_kill"}', 0.02),
        ('fault_undo_seconds_sum{type="container_kill"}', 0.3),
        ('faults_active{type="container_kill"}', 1),
        ('docker_command_seconds_count{command="kill"}', 1),
        ('probe_samples_total{result="good",type="http"}', 1),
        ("log_messages_lost_total", 2),
        ("outbox_lag", 7),
        ('http_requests_total{code="200",method="GET",route="/api/v1/health"}', 1),
        ('actor_up{actor="root/chaos"}', 1),
        ('actor_up{actor="root/ledger"}', 0),
        ('actor_restarts_total{actor="root/ledger"}', 3),
    ],
)
def test_what_was_told_is_shown(series: str, value: float) -> None:
    """Each call ends up in its own series; verdicts are there before the first one."""
    assert sample(used(), series) == pytest.approx(value)


def test_identity_stands_on_info_alone() -> None:
    """The scrape adds identity to all else; a label here would clash with it."""
    lines = [line for line in used().render().decode().splitlines() if "testing" in line or "Chaos1" in line]
    assert lines == [
        (
            'test_coordinator_info{environment="testing",instance="test-coordinator-Chaos1",'
            'service="test-coordinator",version="1.2.3"} 1.0'
        )
    ]


def test_faults_that_are_over_are_not_shown() -> None:
    """A type without outstanding faults has no series any more."""
    metrics = used()
    metrics.faults_active({"container_pause": 2})
    text = metrics.render().decode()
    assert 'faults_active{type="container_kill"}' not in text
    assert 'faults_active{type="container_pause"} 2.0' in text


def test_executions_are_no_actors() -> None:
    """A running execution would make a series per execution for ever; other children of any depth are shown."""
    tree = snapshot(view("running", view(str(uuid4())), view("janitor")))
    assert [actor.id for actor in actors_of(tree)] == ["running", "janitor"]


def test_two_coordinators_count_apart() -> None:
    """Metrics of one process do not leak into another's, as there is no global registry."""
    first, second = used(), used()
    first.executions_active(9)
    assert sample(second, "executions_active") == 2


@pytest.mark.anyio
async def test_a_stall_is_seen_until_the_window_has_passed() -> None:
    """What held the event loop up between two scrapes is still told at the next one."""
    stall_s, every_s = 0.2, 0.005
    told: list[float] = []
    more = anyio.Event()

    class Recorder(Metrics):
        def event_loop_lag(self, lag_s: float) -> None:
            nonlocal more
            told.append(lag_s)
            more.set()
            more = anyio.Event()

    async with anyio.create_task_group() as group:
        group.start_soon(watch_loop_lag, Recorder(IDENTITY), every_s)
        await more.wait()
        time.sleep(stall_s)  # noqa: ASYNC251 - the stall that is to be seen
        before = len(told)
        while len(told) < before + LAG_WINDOW:
            await more.wait()
        group.cancel_scope.cancel()
    assert min(told[before:]) >= stall_s - 2 * every_s
