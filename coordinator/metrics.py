"""Everything counted and timed, under the names of the contract. Those who do the work call one small object; who reads
it, and how, is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from uuid import UUID

import anyio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator.identity import Identity
from coordinator.record import Verdict
from coordinator.supervision import ChildState, ChildView, Snapshot

_PREFIX: Final = "test_coordinator_"
LAG_SAMPLE_S: Final = 0.5
LAG_WINDOW: Final = 30
"""Samples of which the longest is shown: 15 s, so that a scrape at the usual pace misses no stall."""

_COMMAND_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_UNDO_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 300)


def actors_of(snapshot: Snapshot) -> Iterator[ChildView]:
    """The views of all actors, parents first. Running executions, whose ids are UUIDs, are work and not actors."""
    return (view for view in snapshot.root.walk() if view is not snapshot.root and not _is_uuid(view.id))


class Metrics:
    """One process's metrics. Every method only counts: it never waits, never fails and may be called from any thread.

    All times are seconds.
    """

    def __init__(self, identity: Identity) -> None:
        """Start at nothing. The identity stands on `info` alone: the scrape adds it to the others."""
        # A second series per counter that nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types all but this
        self._registry = CollectorRegistry()
        self._info(identity)
        self._executions = self._counter("executions_total", "Executions by verdict.", "verdict")
        for verdict in Verdict:  # a rate needs the zero before the first one
            self._executions.labels(verdict=verdict.value)
        self._executions_active = self._gauge("executions_active", "Executions that are not finished.")
        self._injected = self._counter("faults_injected_total", "Faults by type and outcome.", "type", "outcome")
        self._faults_active = self._gauge("faults_active", "Outstanding faults by type.", "type")
        self._inject = self._histogram("fault_inject_seconds", "From a fault's due time to its effect.", "type")
        self._undo = self._histogram("fault_undo_seconds", "From the begin of an undo to its proof.", "type")
        self._docker = self._histogram(
            "docker_command_seconds", "Duration of docker commands.", "command", buckets=_COMMAND_BUCKETS
        )
        self._samples = self._counter("probe_samples_total", "Samples by probe type and result.", "type", "result")
        self._lag = self._gauge("event_loop_lag_seconds", "Longest delay of the event loop in the last 15 s.")
        self._lost = self._counter("log_messages_lost_total", "Log messages that no destination could take.")
        self._outbox = self._gauge("outbox_lag", "Ledger entries not yet in Postgres.")
        self._requests = self._counter(
            "http_requests_total", "HTTP requests by method, route and status.", "method", "route", "code"
        )
        self._request = self._histogram(
            "http_request_seconds", "Duration of HTTP requests.", "method", "route", buckets=_REQUEST_BUCKETS
        )

    def follow(self, tree: Callable[[], Snapshot]) -> None:
        """Show the actors of the tree's latest snapshot at every scrape. Call once; `tree` must not wait."""
        self._registry.register(_Actors(tree))

    def execution_finished(self, verdict: Verdict) -> None:
        """Count an execution that ended."""
        self._executions.labels(verdict=verdict.value).inc()

    def executions_active(self, count: int) -> None:
        """Tell how many executions are not finished."""
        self._executions_active.set(count)

    def fault_injected(self, fault_type: str, outcome: str, inject_s: float | None = None) -> None:
        """Count a fault; `outcome` is a fault state such as `active` or `not_injected`, never a text for people."""
        self._injected.labels(type=fault_type, outcome=outcome).inc()
        if inject_s is not None:
            self._inject.labels(type=fault_type).observe(inject_s)

    def fault_undone(self, fault_type: str, undo_s: float) -> None:
        """Time an undo."""
        self._undo.labels(type=fault_type).observe(undo_s)

    def faults_active(self, counts: Mapping[str, int]) -> None:
        """Tell how many faults of each type are outstanding; types that are not named have none."""
        self._faults_active.clear()
        for fault_type, count in counts.items():
            self._faults_active.labels(type=fault_type).set(count)

    def docker_command(self, command: str, duration_s: float) -> None:
        """Time a docker command; `command` is its first word, such as `kill`."""
        self._docker.labels(command=command).observe(duration_s)

    def probe_sample(self, probe_type: str, result: str) -> None:
        """Count a sample; `result` is good, bad or late."""
        self._samples.labels(type=probe_type, result=result).inc()

    def event_loop_lag(self, lag_s: float) -> None:
        """Tell the event loop's delay."""
        self._lag.set(lag_s)

    def log_messages_lost(self, count: int = 1) -> None:
        """Count messages that could not be written."""
        self._lost.inc(count)

    def outbox_lag(self, entries: int) -> None:
        """Tell how many ledger entries wait for Postgres."""
        self._outbox.set(entries)

    def http_request(self, method: str, route: str, code: int, duration_s: float) -> None:
        """Count and time a request; `route` is the template, as `/api/v1/executions/<execution_id>`."""
        self._requests.labels(method=method, route=route, code=str(code)).inc()
        self._request.labels(method=method, route=route).observe(duration_s)

    def render(self) -> bytes:
        """Everything as Prometheus text; takes milliseconds, so call it in a thread."""
        return generate_latest(self._registry)

    def _info(self, identity: Identity) -> None:
        told = {
            "service": identity.service,
            "instance": identity.instance,
            "version": identity.version,
            "environment": identity.environment,
        }
        self._gauge("info", "Which coordinator this is; always 1.", *told).labels(**told).set(1)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(_PREFIX + name, meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(_PREFIX + name, meaning, labels, registry=self._registry)

    def _histogram(
        self, name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = _UNDO_BUCKETS
    ) -> Histogram:
        return Histogram(_PREFIX + name, meaning, labels, buckets=buckets, registry=self._registry)


class _Actors(Collector):
    """Reads the tree when scraped: an actor that is gone leaves no series behind."""

    def __init__(self, tree: Callable[[], Snapshot]) -> None:
        self._tree = tree

    def describe(self) -> list[Metric]:
        """Names only, so that registering does not look at a tree that may not exist yet."""
        return list(self._families())

    def collect(self) -> Iterator[Metric]:
        """One series per actor, named by its path."""
        up, restarts = self._families()
        for view in actors_of(self._tree()):
            up.add_metric([view.path], float(view.state is ChildState.RUNNING))
            restarts.add_metric([view.path], view.restarts)
        yield up
        yield restarts

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, CounterMetricFamily]:
        return (
            GaugeMetricFamily(f"{_PREFIX}actor_up", "Whether the actor runs and is ready.", labels=["actor"]),
            CounterMetricFamily(f"{_PREFIX}actor_restarts_total", "Restarts of the actor.", labels=["actor"]),
        )


async def watch_loop_lag(metrics: Metrics, every_s: float = LAG_SAMPLE_S) -> None:
    """Measure for ever how late the event loop wakes a sleeper, and tell the longest of the last LAG_WINDOW times."""
    latest: deque[float] = deque(maxlen=LAG_WINDOW)
    while True:
        due = anyio.current_time() + every_s
        await anyio.sleep(every_s)
        latest.append(max(0.0, anyio.current_time() - due))
        metrics.event_loop_lag(max(latest))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
