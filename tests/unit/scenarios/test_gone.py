"""A target that was removed after it was chosen, over every kind of the catalogue."""

import anyio
import pytest
import yaml
from pydantic import TypeAdapter

from coordinator.faults.catalogue import AnyFault, describe_all
from coordinator.faults.model import FaultSpec
from coordinator.record import FaultState
from coordinator.scenarios.inject import PhaseTime
from tests.conformance.virtual_time import Backend, virtual_backend
from tests.fleet import fleet
from tests.unit.scenarios.test_inject import prepared

FAULT: TypeAdapter[FaultSpec] = TypeAdapter(AnyFault)


@pytest.fixture
def anyio_backend() -> Backend:
    """On a fresh virtual clock."""
    return virtual_backend("asyncio")


@pytest.mark.anyio
@pytest.mark.parametrize("written", [doc.example for doc in describe_all()])
async def test_it_is_named_and_no_command_is_run(written: str) -> None:
    """The row and the verdict's reason tell that it is gone; nothing is owed to it."""
    spec = FAULT.validate_python(yaml.load(written, Loader=yaml.BaseLoader))  # noqa: S506  # builds only text
    async with fleet("a") as house, anyio.create_task_group() as group:
        one, time = await prepared(house, spec), PhaseTime()
        (container_id,) = one.injection.container_ids
        house.engine.remove("a")
        group.start_soon(one.injection.live, time, ())
        time.begin(anyio.current_time() + 1)
        await anyio.sleep(3)
        one.injection.end.set()
        await one.injection.done.wait()
        assert (one.failures, one.state) == ([], FaultState.NOT_INJECTED)
        assert one.injection.not_injected == [f"{spec.type}: {container_id[:12]}: no longer exists"]
        assert [each.outcome for each in one.injection.armed_row.fault.targets] == ["no longer exists"]
        assert house.runner.verbs() == []
