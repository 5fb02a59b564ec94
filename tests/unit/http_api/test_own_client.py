"""The project's own client against the real server: both sides of the API must mean the same."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from actors.http_api import HttpApiActor
from actors.http_api.app import Served
from coordinator.assembly.serving import write_endpoints
from coordinator.cli.connection import running
from coordinator.client import HttpControl
from coordinator.errors import Conflict, CoordinatorError, InvalidScenario, NotFound, Refused
from coordinator.listeners import Listeners
from coordinator.metrics import Metrics
from coordinator.record import ExecutionState, Submission
from coordinator.scenarios.parse import builtin_text
from coordinator.settings import Settings
from coordinator.tls import KeyPair
from tests.unit.certificates import self_signed
from tests.unit.http_api.conftest import IDENTITY, TOKEN
from tests.unit.http_api.memory_control import NOW, MemoryControl
from tests.unit.http_api.test_actor import Life

pytestmark = pytest.mark.anyio

GOOD = Submission(source=builtin_text("kill-one-replica"), file="mine.yaml", seed=3)


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    """Two free ports on loopback."""
    opened = Listeners.open("127.0.0.1", 0, 0)
    with closing(opened):
        yield opened


@asynccontextmanager
async def connected(listeners: Listeners, control: MemoryControl, token: str = TOKEN) -> AsyncIterator[HttpControl]:
    """A client of a server around the coordinator in memory."""
    served = Served(control, Metrics(IDENTITY), IDENTITY, SecretStr(TOKEN), lambda: NOW)
    life = Life()
    async with anyio.create_task_group() as tree:
        tree.start_soon(HttpApiActor(listeners, served).run, life)
        await life.up.wait()
        async with HttpControl.opened(f"http://{listeners.http}", SecretStr(token)) as client:
            yield client
        life.stopping.set()


async def test_scenarios_are_kept_over_the_wire(listeners: Listeners, control: MemoryControl) -> None:
    """Listing, keeping, showing and forgetting mean the same on both sides."""
    text = GOOD.source.replace("name: kill-one-replica", "name: mine", 1)
    async with connected(listeners, control) as client:
        assert [await client.save_scenario("mine", text) for _ in range(2)] == [True, False]
        assert await client.scenario("mine") == control.library.get("mine")
        assert await client.scenarios() == control.library.all()
        await client.delete_scenario("mine")
        for ask in (client.scenario("mine"), client.delete_scenario("mine")):
            with pytest.raises(NotFound):
                await ask
        with pytest.raises(Conflict):
            await client.save_scenario("kill-one-replica", GOOD.source)
        with pytest.raises(InvalidScenario):
            await client.save_scenario("mine", "nonsense")


async def test_answers_come_back_as_they_were_given(listeners: Listeners, control: MemoryControl) -> None:
    """Executions, plans, reports, faults, containers and actors survive the way over the wire."""
    async with connected(listeners, control) as client:
        execution = await client.submit(GOOD, idempotency_key="k")
        kept = control.accepted[execution.id][0]
        # The wire has milliseconds.
        assert execution.model_dump(mode="json") == kept.model_dump(mode="json")
        assert control.accepted[execution.id][1].seed == 3
        assert await client.submit(GOOD, idempotency_key="k") == execution
        assert await client.plan(GOOD) == await control.plan(GOOD)
        assert await client.execution(execution.id) == execution
        assert await client.executions([ExecutionState.QUEUED]) == (execution,)
        assert await client.executions([ExecutionState.RUNNING]) == ()
        report = await client.report(execution.id)
        assert report.probes == (await control.report(execution.id)).probes
        assert [fault.id for fault in await client.faults()] == ["f1", "f2"]
        assert (await client.undo("f1")).undone == ("f1",)
        assert (await client.undo_all("now")).failed == {"f9": "the engine is away"}
        assert await client.scan(["green"]) == await control.scan(["green"])
        assert [one.why_not is None for one in await client.candidates()] == [True, False]
        await client.refresh()
        assert [(view.path, view.state, view.restarts) for view in client.tree().children] == [
            (view.path, view.state, view.restarts) for view in control.tree().children
        ]
        assert client.readiness() == control.readiness()
        assert (await client.health()).instance == IDENTITY.instance


async def test_errors_come_back_as_themselves(listeners: Listeners, control: MemoryControl) -> None:
    """What the coordinator raises is what the caller of the client sees."""
    async with connected(listeners, control) as client:
        with pytest.raises(NotFound, match="there is no execution x"):
            await client.execution("x")
        with pytest.raises(Conflict, match="quarantined"):
            await client.reset_actor("chaos")
        with pytest.raises(InvalidScenario, match=r"mine\.yaml:\d+: colour"):
            await client.submit(GOOD.model_copy(update={"source": GOOD.source + "\ncolour: red\n"}))
        control.fails["submit"] = lambda: Refused("injection is switched off")
        with pytest.raises(Refused, match="injection is switched off"):
            await client.submit(GOOD)


async def test_a_wrong_token_is_told(listeners: Listeners, control: MemoryControl) -> None:
    """The client says what to do, and health needs no token."""
    async with connected(listeners, control, token="wrong") as client:
        assert (await client.health()).status == "healthy"
        with pytest.raises(CoordinatorError, match="--token-file"):
            await client.faults()


async def test_commands_trust_the_certificate_their_own_coordinator_names(
    listeners: Listeners, control: MemoryControl, tmp_path: Path
) -> None:
    """With TLS, endpoints.json says so: commands come in with no setting of their own, whatever name it bears."""
    own = self_signed(tmp_path, "any-name")
    settings = Settings(service_instance_name=IDENTITY.instance, data_dir=tmp_path, api_token=SecretStr(TOKEN))
    serving = settings.model_copy(update={"http_tls_cert": own.certificate, "http_tls_key": own.key})
    write_endpoints(tmp_path / "endpoints.json", serving, listeners)
    served = Served(control, Metrics(IDENTITY), IDENTITY, SecretStr(TOKEN), lambda: NOW)
    life = Life()
    async with anyio.create_task_group() as tree:
        tree.start_soon(HttpApiActor(listeners, served, tls=KeyPair(own.certificate, own.key)).run, life)
        await life.up.wait()
        async with AsyncExitStack() as stack:
            found = await running(stack, settings)
            assert found is not None
            assert found.url.startswith("https://")
            assert [fault.id for fault in await found.faults()] == ["f1", "f2"]
        own.certificate.unlink()
        async with AsyncExitStack() as stack:
            assert await running(stack, settings) is None
        life.stopping.set()
