"""One recovery for a dead coordinator, in a process of its own that its warden starts: ledger, engine and the same
undoing as at every start, and nothing else. Logs to the warden's file.
"""

from __future__ import annotations

import os
import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from coordinator import __version__
from coordinator.errors import CoordinatorError, DataDirInUse, LedgerUnavailable, leaves
from coordinator.logging import bind, configure, log
from coordinator.settings import Settings, load
from coordinator.warden.aftermath import DONE, IN_USE, LEFT
from coordinator.warden.story import SPEAKER
from coordinator.warden.ward import LOG_FILE

if TYPE_CHECKING:
    from actors.ledger import LedgerActor
    from actors.recovery import RecoveryActor
    from coordinator.faults.commands import HttpCommand, Outcome
    from coordinator.ports import Clock, CommandRunner, EngineFacts, Ledger
    from coordinator.record import FaultRow
    from coordinator.scenarios.undo import Undoer

LET_GO_S: Final = 0.2
"""How long DATA_DIR is free between two passes: a start that waits looks more often."""


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
    """Undo what is outstanding and give every unfinished execution its verdict. Without a ledger all is left.

    Once, but for what only has to be waited for: another process would begin to wait anew. In between DATA_DIR is let
    go, for a start that waits for it. Raises DataDirInUse, InvalidSettings.
    """
    hands = _hands(settings)
    while True:
        ended = await _recovered(settings, hands)
        if ended is not None:
            return ended
        await anyio.sleep(LET_GO_S)


async def _recovered(settings: Settings, hands: _Hands) -> int | None:
    """One pass with DATA_DIR held; how it ended, None where it is to go on."""
    from actors.ledger import LedgerActor
    from coordinator.assembly.tree import Patience, child, tell
    from coordinator.supervision import Escalated, StartFailed, Supervisor, SupervisorSpec

    ended: int | None = LEFT
    async with LedgerActor(settings.data_dir, settings.service_instance_name, role="warden") as ledger:
        recovery = _recovery(settings, ledger, hands)
        spec = SupervisorSpec(id="warden", children=(child(ledger, Patience()),))
        supervisor = Supervisor(spec, clock=time.time, random=random.SystemRandom(), report=tell)
        try:
            async with anyio.create_task_group() as group:
                await group.start(supervisor.run)
                ended = await _passed(recovery, ledger)
                supervisor.request_stop("the pass is over")
        except* (LedgerUnavailable, StartFailed, Escalated) as failures:
            ended = LEFT
            log("warden:no_ledger", "ERROR", reason="; ".join(str(failure) for failure in leaves(failures)))
    return ended


async def _passed(recovery: RecoveryActor, ledger: LedgerActor) -> int | None:
    """Whether something is left after a pass, or may be, as engine or ledger did not let it see everything through:
    outstanding, or a lock or helper on the engine, or what a lost ledger knew. None where a wait goes on.
    """
    from actors.recovery.actor import FIRST_PASS_S
    from coordinator.scenarios.undo import SETTLING

    await recovery.recover(FIRST_PASS_S)
    if recovery.trouble is not None:
        log("warden:not_seen_through", "WARNING", reason=recovery.trouble)
        return LEFT
    outstanding = await ledger.faults(outstanding=True)
    if any(row.last_error == SETTLING for row in outstanding):
        return None
    return LEFT if outstanding or ledger.owes_scan or recovery.left_on_engine is not None else DONE


class _Rows:
    """Where rows are kept, in one ledger after another, so that an undo may go on over several."""

    ledger: Ledger

    async def save_fault(self, row: FaultRow) -> None:
        """See `ports.Ledger`."""
        await self.ledger.save_fault(row)


@dataclass(frozen=True, slots=True)
class _Hands:
    """What looks and undoes, for all passes of this process."""

    facts: EngineFacts
    runner: CommandRunner
    clock: Clock
    rows: _Rows
    undoer: Undoer


def _hands(settings: Settings) -> _Hands:
    """Made as for every coordinator."""
    from actors.docker.command_runner import DockerCommandRunner
    from actors.docker.engine_facts import DockerFacts
    from actors.docker.helper_image import HelperImage
    from actors.docker.host_namespaces import HostNamespaces
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
    rows = _Rows()
    return _Hands(facts, runner, clock, rows, Undoer(runner, facts, rows, clock))


def _recovery(settings: Settings, ledger: LedgerActor, hands: _Hands) -> RecoveryActor:
    """The recovery of every start, on this ledger."""
    from actors.recovery import RecoveryActor

    hands.rows.ledger = ledger
    recovery = RecoveryActor(
        ledger,
        hands.facts,
        hands.runner,
        hands.undoer,
        hands.clock,
        instance=settings.service_instance_name,
        playing=lambda _: False,
        retention_days=settings.scenario_results_retention_days,
    )
    ledger.on_renewed = recovery.ledger_lost
    ledger.say = lambda text: sys.stderr.write(f"{text}\n")
    recovery.on_scanned = ledger.scanned
    return recovery
