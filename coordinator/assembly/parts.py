"""The parts that every coordinator has, made in the order in which they need each other; nothing runs yet."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import anyio

from actors.chaos import ChaosActor
from actors.data_adapter.actor import DataAdapterActor
from actors.docker.abilities import try_network
from actors.docker.command_runner import DockerCommandRunner
from actors.docker.engine_facts import DockerFacts
from actors.docker.hands import namespace_hands
from actors.docker.helper_image import HelperImage
from actors.docker.host_namespaces import HostNamespaces
from actors.docker.machine import EngineMachine
from actors.executions import ExecutionsActor
from actors.ledger import LedgerActor
from actors.prober.actor import Prober
from actors.prober.http_call import HttpCaller
from actors.recovery import RecoveryActor
from actors.warden import WardenActor
from coordinator import __version__
from coordinator.assembly.clock import SystemClock
from coordinator.assembly.derived import adapter_config_of, rules_of
from coordinator.assembly.tree import Patience, bound, child, tell
from coordinator.assembly.warding import ward_of
from coordinator.control import LocalControl
from coordinator.errors import CoordinatorError
from coordinator.faults.commands import Command, DockerCommand, Outcome
from coordinator.library import Library
from coordinator.logging import LogHandle, configure
from coordinator.metrics import Metrics
from coordinator.ports import CommandRunner
from coordinator.scenarios.inject import Tools
from coordinator.scenarios.run import Player
from coordinator.scenarios.undo import Undoer
from coordinator.secrets import SecretSource
from coordinator.settings import Settings
from coordinator.supervision import ChildSpec, Snapshot, Strategy, Supervisor, SupervisorSpec

POOL: Final = "running"
"""The supervisor under which every running execution is a child of its own."""

NAMED_WITHIN_S: Final = 2.0
"""How long an answer waits for the name of the helper image, which commands for a person hold."""

LOG_FILE: Final = "test-coordinator.jsonl"


class _Measured:
    """A command runner that counts what it runs."""

    def __init__(self, runner: CommandRunner, metrics: Metrics) -> None:
        self._runner = runner
        self._metrics = metrics

    async def run(self, command: Command) -> Outcome:
        """See `ports.CommandRunner`."""
        outcome = await self._runner.run(command)
        if isinstance(command, DockerCommand):
            self._metrics.docker_command(command.argv[0], outcome.duration_s)
        return outcome


class Parts:
    """Everything below the interfaces. `role` says in the lock on DATA_DIR what holds it: serve or run."""

    def __init__(
        self, settings: Settings, *, role: str, patience: Patience | None = None, recovery: bool = True
    ) -> None:
        """Make them. Raises InvalidSettings. `recovery` False is for who only looks: undoes nothing, needs no warden,
        and leaves a damaged ledger as it is.
        """
        self._recovers = recovery
        self._settings = settings
        self.patience = patience or Patience()
        self._rules = rules_of(settings)
        self.clock = SystemClock()
        self.metrics = Metrics(settings.identity)
        self.watchers: list[Callable[[Snapshot], None]] = []
        secrets = SecretSource(settings.data_dir, os.environ)
        self._facts = DockerFacts(settings.docker_host, slowness=settings.docker_timeout_factor)
        host, image = HostNamespaces(settings.docker_host, self._facts), HelperImage(settings.helper_image, __version__)
        docker = DockerCommandRunner(
            settings.docker_host,
            secrets.resolve,
            host=host,
            helper_image=image,
            instance=settings.service_instance_name,
            http=HttpCaller(secrets.resolve, self._facts).run,
            slowness=settings.docker_timeout_factor,
        )
        self._hands = partial(namespace_hands, docker)
        self._machine = EngineMachine(settings.docker_host, partial(try_network, docker, image, host))
        self._runner = _Measured(docker, self.metrics)
        self.ledger = LedgerActor(settings.data_dir, settings.service_instance_name, role=role, renews=recovery)
        self.warden = WardenActor(ward_of(settings))
        self._undoer = Undoer(self._runner, self._facts, self.ledger, self.clock)
        self._prober = Prober(facts=self._facts, runner=self._runner, secrets=secrets.resolve)
        self.data_adapter = DataAdapterActor(
            adapter_config_of(settings),
            self.ledger,
            retention_days=settings.scenario_results_retention_days,
            on_lag=self.metrics.outbox_lag,
        )
        self._add_workers()
        self.control = LocalControl(
            lambda: self.supervisor,
            self._executions,
            self._recovery,
            self.ledger,
            self._facts,
            self._rules.policy,
            Library(settings.data_dir),
            docker_status=lambda: self._chaos.status,
            store_status=lambda: self.data_adapter.status,
            undo_deadline_s=settings.undo_deadline_seconds,
            helper_image=partial(known_image, image, docker),
            history=self.data_adapter.history if settings.postgres_url.get_secret_value() else None,
        )

    def _add_workers(self) -> None:
        settings = self._settings
        tools = Tools(
            self._runner,
            self._facts,
            self.ledger,
            self.clock,
            self._undoer,
            settings.undo_deadline_seconds,
            self.metrics,
            self._hands,
            self._machine,
        )
        self._executions = ExecutionsActor(
            self._rules,
            tools,
            self._prober,
            max_concurrent=settings.max_concurrent_executions,
            stop_timeout_s=settings.shutdown_deadline_seconds,
            random=random.SystemRandom(),
            start_child=self._start_execution,
            on_finished=self._finished,
        )
        self._recovery = RecoveryActor(
            self.ledger,
            self._facts,
            self._runner,
            self._undoer,
            self.clock,
            instance=settings.service_instance_name,
            playing=self._executions.playing,
            retention_days=settings.scenario_results_retention_days,
        )
        self.ledger.on_renewed = self._recovery.ledger_lost
        self._recovery.on_scanned = self.ledger.scanned
        self._chaos = ChaosActor(self._facts, on_engine_up=self._recovery.wake, on_runs=self._recovery.container_runs)

    def children(self) -> tuple[ChildSpec, ...]:
        """The children that every coordinator has, in start order."""
        pool = ChildSpec(id=POOL, start=SupervisorSpec(id=POOL, strategy=Strategy.POOL), critical=False)
        return (
            child(self.ledger, self.patience),
            *((child(self.warden, self.patience),) if self._recovers else ()),
            child(self.data_adapter, self.patience),
            child(self._chaos, self.patience),
            child(self._prober, self.patience),
            *((child(self._recovery, self.patience),) if self._recovers else ()),
            pool,
            child(self._executions, self.patience),
        )

    def plant(self, *children: ChildSpec) -> Supervisor:
        """Make the tree of these children."""
        patience = self.patience
        spec = SupervisorSpec(id="root", children=children, intensity=patience.intensity, period_s=patience.period_s)
        self.supervisor = Supervisor(
            spec, clock=time.time, random=random.SystemRandom(), report=tell, on_snapshot=self._published
        )
        self.metrics.follow(lambda: self.supervisor.snapshot)
        return self.supervisor

    async def _start_execution(self, spec: ChildSpec) -> object:
        """Put an execution into the pool, its messages bound to its own place in the tree."""
        body = spec.start
        if isinstance(body, SupervisorSpec):
            raise TypeError("an execution is a worker")
        return await self.supervisor.start_child(replace(spec, start=partial(bound, body)), under=POOL)

    def _finished(self, player: Player) -> None:
        verdict = player.view().verdict
        if verdict is not None:
            self.metrics.execution_finished(verdict)
        self._recovery.ended(player.id, player.record, cleared=player.cleared)

    def unsure(self) -> bool:
        """Whether something of executions that have ended may be left on the engine; see `RecoveryActor.unsure`."""
        return self._recovery.unsure

    def _published(self, snapshot: Snapshot) -> None:
        self.metrics.executions_active(self._executions.active())
        for watcher in self.watchers:
            watcher(snapshot)


async def known_image(image: HelperImage, runner: CommandRunner) -> str:
    """The helper image for a person; empty where there is none, or none can be asked for in the time of an answer."""
    with anyio.move_on_after(NAMED_WITHIN_S), contextlib.suppress(CoordinatorError):
        return await image.reference(runner)
    return ""


def logs(settings: Settings, *, to_stdout: bool) -> LogHandle:
    """The log of this process, in DATA_DIR and, where asked, on standard output."""
    return configure(
        settings.identity,
        level=settings.log_level,
        file=settings.data_dir / "logs" / LOG_FILE,
        stream=sys.stdout if to_stdout else None,
        stream_format=settings.log_format,
    )
