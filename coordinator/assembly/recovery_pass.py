"""One recovery for a dead coordinator, in a process of its own that its warden starts: ledger, engine and the same
undoing as at every start, and nothing else. Logs to the warden's file.
"""

from __future__ import annotations

import os
import random
import sys
import time
from typing import TYPE_CHECKING

import anyio

from coordinator import __version__
from coordinator.errors import CoordinatorError, DataDirInUse
from coordinator.logging import bind, configure, log
from coordinator.settings import Settings, load
from coordinator.warden.aftermath import DONE, IN_USE, LEFT
from coordinator.warden.story import SPEAKER
from coordinator.warden.ward import LOG_FILE

if TYPE_CHECKING:
    from actors.ledger import LedgerActor
    from actors.recovery import RecoveryActor
    from coordinator.faults.commands import HttpCommand, Outcome


def main() -> int:
    """Recover by the settings of the environment; the exit status says how it ended."""
    try:
        settings = load(env_file=False)
        with configure(settings.identity, level=settings.log_level, file=settings.data_dir / LOG_FILE):
            return anyio.run(_recorded, settings)
    except CoordinatorError as failed:
        sys.stderr.write(f"{failed}\n")
        return LEFT


async def _recorded(settings: Settings) -> int:
    with bind(actor=SPEAKER):
        try:
            return await recover(settings)
        except DataDirInUse as busy:
            log("warden:superseded", reason=str(busy))
            return IN_USE


async def recover(settings: Settings) -> int:
    """Undo what is outstanding, once, and give every unfinished execution its verdict.

    Raises DataDirInUse, InvalidSettings, LedgerUnavailable.
    """
    from actors.ledger import LedgerActor
    from coordinator.assembly.tree import Patience, child, tell
    from coordinator.supervision import Supervisor, SupervisorSpec

    async with LedgerActor(settings.data_dir, settings.service_instance_name, role="warden") as ledger:
        recovery = _recovery(settings, ledger)
        spec = SupervisorSpec(id="warden", children=(child(ledger, Patience()),))
        supervisor = Supervisor(spec, clock=time.time, random=random.SystemRandom(), report=tell)
        async with anyio.create_task_group() as group:
            await group.start(supervisor.run)
            left = await _passed(recovery, ledger)
            supervisor.request_stop("the pass is over")
    return LEFT if left else DONE


async def _passed(recovery: RecoveryActor, ledger: LedgerActor) -> bool:
    """Whether something is left after a pass: outstanding, or on the engine where what was owed is lost."""
    from actors.recovery.actor import FIRST_PASS_S

    await recovery.recover(FIRST_PASS_S)
    outstanding = await ledger.faults(outstanding=True)
    return bool(outstanding) or ledger.owes_scan or recovery.left_on_engine is not None


def _recovery(settings: Settings, ledger: LedgerActor) -> RecoveryActor:
    """The parts that undo, made as for every coordinator."""
    from actors.docker.command_runner import DockerCommandRunner
    from actors.docker.engine_facts import DockerFacts
    from actors.docker.helper_image import HelperImage
    from actors.docker.host_namespaces import HostNamespaces
    from actors.recovery import RecoveryActor
    from coordinator.assembly.clock import SystemClock
    from coordinator.scenarios.undo import Undoer
    from coordinator.secrets import SecretSource

    clock, facts = SystemClock(), DockerFacts(settings.docker_host, slowness=settings.docker_timeout_factor)
    secrets = SecretSource(settings.data_dir, os.environ)

    async def call(command: HttpCommand) -> Outcome:
        # What speaks HTTP takes as long to load as all the rest: only where an undo is a request.
        from actors.prober.http_call import HttpCaller

        return await HttpCaller(secrets.resolve, facts).run(command)

    runner = DockerCommandRunner(
        settings.docker_host,
        secrets.resolve,
        helper_image=HelperImage(settings.helper_image, __version__),
        host=HostNamespaces(settings.docker_host, facts),
        instance=settings.service_instance_name,
        http=call,
        slowness=settings.docker_timeout_factor,
    )
    recovery = RecoveryActor(
        ledger,
        facts,
        runner,
        Undoer(runner, facts, ledger, clock),
        clock,
        instance=settings.service_instance_name,
        playing=lambda _: False,
        retention_days=settings.scenario_results_retention_days,
    )
    ledger.on_renewed = recovery.ledger_lost
    ledger.say = lambda text: sys.stderr.write(f"{text}\n")
    recovery.on_scanned = ledger.scanned
    return recovery
