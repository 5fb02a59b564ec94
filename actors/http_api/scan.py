"""Putting back what the engine itself shows to be left, without the ledger."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from quart import Blueprint, Response, request

from actors.http_api.answers import answer
from actors.http_api.body import read_body
from actors.http_api.operations import UNAVAILABLE, Operation, described, ok
from coordinator.detached import Detached
from coordinator.faults.leftovers import ScanReport
from coordinator.identity import NAME_ALLOWED, is_name
from coordinator.ports import Control


def _known(name: str) -> str:
    if not is_name(name):
        raise ValueError(NAME_ALLOWED)
    return name


class ScanRequest(BaseModel):
    """What a scan is to answer for beside this coordinator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instances: tuple[Annotated[str, AfterValidator(_known)], ...] = Field(
        default=(), max_length=100, description="names of coordinators that are gone, whose leftovers are put back too"
    )


def routes(control: Control, detached: Detached) -> Blueprint:
    """POST scan."""
    blueprint = Blueprint("scan", __name__)

    @blueprint.post("/scan")
    @described(
        Operation(
            "Put back what the engine itself shows to be left, without the ledger; wait for it",
            ok("What was found, whose it is, and what was done", ScanReport),
            errors=(UNAVAILABLE,),
            body=ScanRequest,
        )
    )
    async def scan_engine() -> Response:
        asked = await read_body(request, ScanRequest)
        return answer(await detached.finish(control.scan(asked.instances)))

    return blueprint
