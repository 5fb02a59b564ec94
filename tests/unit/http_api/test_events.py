"""Server-Sent Events of an execution."""

import anyio
import pytest

from actors.http_api.events import stream
from actors.http_api.frames import Broadcasts
from tests.unit.http_api.conftest import Client
from tests.unit.http_api.memory_control import MemoryControl

pytestmark = pytest.mark.anyio
URL = "/api/v1/executions"


async def begun(client: Client) -> str:
    """The id of an accepted execution."""
    return str((await client.ask("POST", URL, {"scenario": "kill-one-replica"})).json["id"])


async def test_a_finished_execution_is_told_and_ended(client: Client, control: MemoryControl) -> None:
    """All entries with their places as ids, then `end`."""
    execution_id = await begun(client)
    control.tell("phase_started", "finished")
    answer = await client.ask("GET", f"{URL}/{execution_id}/events")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    frames = answer.text.split("\n\n")
    assert [frame.split("\n")[:2] for frame in frames[:2]] == [
        ["id: 1", "event: phase_started"],
        ["id: 2", "event: finished"],
    ]
    assert frames[2].startswith("event: end")


async def test_a_client_goes_on_where_it_was(client: Client, control: MemoryControl) -> None:
    """After Last-Event-ID only what is new is told."""
    execution_id = await begun(client)
    control.tell("one", "two", "three")
    answer = await client.ask("GET", f"{URL}/{execution_id}/events", headers={"Last-Event-ID": "2"})
    assert "event: three" in answer.text
    assert "event: two" not in answer.text


@pytest.mark.parametrize("place", ["-1", "x", "9" * 40, "9" * 5000, "1.5"])
async def test_a_wrong_place_is_refused(client: Client, place: str) -> None:
    """A Last-Event-ID that no event of ours can have is a 422 that names the header."""
    execution_id = await begun(client)
    answer = await client.ask("GET", f"{URL}/{execution_id}/events", headers={"Last-Event-ID": place})
    assert answer.status == 422
    assert answer.json["problems"][0]["field"] == "Last-Event-ID"


async def test_an_unknown_execution_is_404(client: Client) -> None:
    """An answer of its own, not a broken stream."""
    assert (await client.ask("GET", f"{URL}/nobody/events")).status == 404


async def test_events_come_as_they_happen_and_end_with_the_api(client: Client, control: MemoryControl) -> None:
    """A live stream tells each entry when it comes, and ends when the API begins to leave."""
    execution_id = await begun(client)
    control.live = True
    ending = anyio.Event()
    frames = stream(Broadcasts(control, ending), execution_id, 0, ending)
    async with anyio.create_task_group() as group:
        for event in ("one", "two"):
            group.start_soon(anyio.lowlevel.checkpoint)
            control.tell(event)
            assert f"event: {event}".encode() in await anext(frames)
        ending.set()
        # Nothing more is told: the stream's own end is what this waits for.
        left = [frame async for frame in frames]
        assert all(frame.startswith(b":") for frame in left)
