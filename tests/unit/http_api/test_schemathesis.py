"""Property-based calls made from the API's description, by a tool that knows nothing of the product."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from actors.http_api import HttpApiActor
from actors.http_api.app import Served
from coordinator.library import Library
from coordinator.listeners import Listeners
from coordinator.metrics import Metrics
from tests.unit.http_api.conftest import IDENTITY, TOKEN
from tests.unit.http_api.memory_control import NOW, MemoryControl
from tests.unit.http_api.test_actor import Life

pytestmark = pytest.mark.anyio

EXAMPLES = 15
"""Per call, in each of the tool's phases; more of them are run by hand, as docs/reference/http-api.md says."""
EXCLUDED = "positive_data_acceptance"
"""That every text which fits the schema is taken: what makes a scenario valid is more than a schema can say."""


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    """Two free ports on loopback."""
    opened = Listeners.open("127.0.0.1", 0, 0)
    with closing(opened):
        yield opened


@pytest.mark.timeout(240)
async def test_no_generated_call_breaks_the_contract(listeners: Listeners, tmp_path: Path) -> None:
    """Whatever is sent: no 5xx, no answer other than described, and nothing taken that is described as wrong."""
    control = MemoryControl(library=Library(tmp_path))
    served = Served(control, Metrics(IDENTITY), IDENTITY, SecretStr(TOKEN), lambda: NOW)
    life = Life()
    async with anyio.create_task_group() as tree:
        tree.start_soon(HttpApiActor(listeners, served).run, life)
        await life.up.wait()
        done = await anyio.run_process(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"http://{listeners.http}/api/v1/openapi.json",
                "--header", f"Authorization: Bearer {TOKEN}", "--max-examples", str(EXAMPLES), "--seed", "1",
                "--exclude-checks", EXCLUDED, "--no-color", "--warnings", "off", "--request-timeout", "60",
            ],
            check=False, cwd=tmp_path,
        )  # fmt: skip
        life.stopping.set()
    said = done.stdout.decode()
    assert done.returncode == 0, said[-6000:] + done.stderr.decode()[-2000:]
    assert " passed" in said
