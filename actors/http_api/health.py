"""Health and readiness as answers: folds of what is already known, never a probe."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict
from quart import Blueprint, Response

from actors.http_api.answers import answer
from actors.http_api.operations import Operation, Said, described
from coordinator.identity import Identity
from coordinator.ports import Control, Readiness
from coordinator.record import stamp
from coordinator.supervision import health

UNHEALTHY = "unhealthy"


class HealthResponse(BaseModel):
    """Who answers, and how it is: healthy, degraded or unhealthy. `timestamp` is ISO 8601 in UTC."""

    model_config = ConfigDict(frozen=True)

    status: str
    service: str
    instance: str
    version: str
    environment: str
    timestamp: str


def routes(control: Control, identity: Identity, now: Callable[[], datetime]) -> Blueprint:
    """GET health, ready."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health")
    @described(
        Operation(
            "How the service is",
            {
                HTTPStatus.OK: Said("Healthy or degraded", HealthResponse),
                HTTPStatus.SERVICE_UNAVAILABLE: Said("Unhealthy", HealthResponse),
            },
        )
    )
    async def show_health() -> Response:
        told = HealthResponse(
            status=health(control.tree()).status,
            service=identity.service,
            instance=identity.instance,
            version=identity.version,
            environment=identity.environment,
            timestamp=stamp(now()),
        )
        return answer(told, HTTPStatus.SERVICE_UNAVAILABLE if told.status == UNHEALTHY else HTTPStatus.OK)

    @blueprint.get("/ready")
    @described(
        Operation(
            "Whether it takes work",
            {
                HTTPStatus.OK: Said("Ready", Readiness),
                HTTPStatus.SERVICE_UNAVAILABLE: Said("Not ready", Readiness),
            },
        )
    )
    async def show_readiness() -> Response:
        readiness = control.readiness()
        return answer(readiness, HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    return blueprint
