"""What a coordinator and its warden need of each other: who is watched, waiting for one that is still at work, and the
word at an orderly end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from coordinator.errors import LedgerUnavailable, WardenAtWork
from coordinator.logging import log
from coordinator.record import UNFINISHED
from coordinator.warden.ward import Ward

if TYPE_CHECKING:
    from actors.ledger import LedgerActor
    from actors.warden import WardenActor
    from coordinator.settings import Settings

PATIENCE_S: Final = 90.0
"""How long a start waits for the warden of a dead coordinator: longer than a pass that waits for one slow stop, which
takes a minute.
"""

LOOK_AGAIN_S: Final = 0.05
LAST_LOOK_S: Final = 2.0
"""How long an end may look for what is outstanding."""


def ward_of(settings: Settings) -> Ward:
    """The coordinator of these settings, as its warden must know it."""
    environ = {
        "DATA_DIR": str(settings.data_dir),
        "DOCKER_HOST": settings.docker_host,
        "SERVICE_NAME": settings.service_name,
        "SERVICE_INSTANCE_NAME": settings.service_instance_name,
        "SERVICE_VERSION": settings.service_version,
        "ENVIRONMENT": settings.environment,
        "LOG_LEVEL": settings.log_level,
        "HELPER_IMAGE": settings.helper_image,
        "DOCKER_TIMEOUT_FACTOR": str(settings.docker_timeout_factor),
        "SCENARIO_RESULTS_RETENTION_DAYS": str(settings.scenario_results_retention_days),
    }
    return Ward(
        data_dir=str(settings.data_dir),
        endpoint=settings.docker_host,
        service=settings.service_name,
        instance=settings.service_instance_name,
        environment=settings.environment,
        environ=environ,
    )


@asynccontextmanager
async def held(
    ledger: LedgerActor,
    warden: WardenActor | None,
    say: Callable[[str], object] = lambda _: None,
    unsure: Callable[[], bool] = lambda: False,
) -> AsyncIterator[None]:
    """Hold DATA_DIR for the block, waiting for a warden that is at work there; at its end tell the own warden, but for
    where it is `unsure` whether something is left on the engine.

    Raises DataDirInUse, WardenAtWork after PATIENCE_S, InvalidSettings.
    """
    async with AsyncExitStack() as stack:
        await _enter(stack, ledger, say)
        try:
            yield
        finally:
            if warden is not None:
                with anyio.CancelScope(shield=True):
                    warden.dismiss(nothing_left=not unsure() and await _nothing_left(ledger))


async def _enter(stack: AsyncExitStack, ledger: LedgerActor, say: Callable[[str], object]) -> None:
    deadline = anyio.current_time() + PATIENCE_S
    told = False
    while True:
        try:
            await stack.enter_async_context(ledger)
        except WardenAtWork as busy:
            if anyio.current_time() >= deadline:
                raise
            if not told:
                told = True
                log("warden:awaited", "WARNING", reason=str(busy), patience_s=PATIENCE_S)
                say(f"{busy}; waiting for it, up to {PATIENCE_S:g} s")
        else:
            return
        await anyio.sleep(LOOK_AGAIN_S)


async def _nothing_left(ledger: LedgerActor) -> bool:
    """Whether it is sure that nothing is outstanding, nor without its verdict, nor lost with a damaged ledger."""
    if ledger.owes_scan:
        return False
    with anyio.move_on_after(LAST_LOOK_S):
        try:
            return not await ledger.faults(outstanding=True) and not await ledger.executions(UNFINISHED, 1)
        except LedgerUnavailable:
            return False
    return False
