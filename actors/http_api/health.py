"""Health and readiness as answers: folds of what is already known, never a probe."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict
from quart import Blueprint, Response

from actors.http_api.answers import answer
from coordinator.identity import Identity
from coordinator.ports import Control
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
    async def show_readiness() -> Response:
        readiness = control.readiness()
        return answer(readiness, HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    return blueprint
