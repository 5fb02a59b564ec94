import pytest

from actors.http_api.health import HealthResponse
from coordinator.ports import Readiness
from coordinator.supervision import ChildState
from tests.unit.http_api.conftest import Client
from tests.unit.http_api.memory_control import STAMP, MemoryControl, tree, view

pytestmark = pytest.mark.anyio


async def test_health_has_exactly_six_keys(client: Client) -> None:
    """Health tells status, service, instance, version, environment and a UTC timestamp, and nothing else."""
    answer = await client.ask("GET", "/api/v1/health", headers={"Authorization": None})
    assert answer.status == 200
    assert answer.json == {
        "status": "healthy",
        "service": "test-coordinator",
        "instance": "test-coordinator-Chaos1",
        "version": "1.2.3",
        "environment": "testing",
        "timestamp": STAMP,
    }


@pytest.mark.parametrize(
    ("state", "critical", "status", "code"),
    [
        (ChildState.BACKOFF, False, "degraded", 200),
        (ChildState.BACKOFF, True, "degraded", 200),
        (ChildState.QUARANTINED, True, "unhealthy", 503),
        (ChildState.ABANDONED, False, "unhealthy", 503),
    ],
)
async def test_health_is_a_fold_of_the_tree(
    client: Client, control: MemoryControl, state: ChildState, critical: bool, status: str, code: int
) -> None:
    """What comes back by itself degrades; a critical actor down for good, or one that does not end, is 503."""
    control.snapshot = tree(view("ledger"), view("chaos", state, critical=critical))
    answer = await client.ask("GET", "/api/v1/health")
    assert (answer.status, answer.json["status"]) == (code, status)


async def test_ready_tells_every_check(client: Client, control: MemoryControl) -> None:
    """Readiness is passed on as it is, 503 when work is not taken, and needs no token."""
    answer = await client.ask("GET", "/api/v1/ready", headers={"Authorization": None})
    assert (answer.status, answer.json) == (200, {"status": "ready", "checks": {"ledger": "ok"}})
    control.ready = Readiness(status="not ready", checks={"ledger": "error: read-only"})
    answer = await client.ask("GET", "/api/v1/ready")
    assert (answer.status, answer.json["checks"]) == (503, {"ledger": "error: read-only"})


def test_the_model_is_all_text() -> None:
    """The response model's fields are the contract's, each a text."""
    assert {name: field.annotation for name, field in HealthResponse.model_fields.items()} == dict.fromkeys(
        ("status", "service", "instance", "version", "environment", "timestamp"), str
    )
