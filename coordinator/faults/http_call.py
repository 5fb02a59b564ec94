"""A service's own chaos API: one request that begins a fault of the service's making, one that ends it. Judged by the
status of the answers alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from coordinator.errors import Refused
from coordinator.faults.commands import ADDRESS, Command, EnvEntry, HttpCommand
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.faults.lifecycle import each_running
from coordinator.faults.looks import LATE_S, Look, Succeeded, Undo
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings
from coordinator.faults.network import is_shared
from coordinator.hosts import Url
from coordinator.quantities import Duration
from coordinator.secret_text import SecretRef, SecretText


def _without_user(url: str) -> str:
    """What a URL holds is shown and kept, so a password has no place in it."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        message = "a URL without user and password: they go into a header, as {secret: NAME}"
        raise ValueError(message)
    return url


def _one_line(value: SecretText) -> SecretText:
    if isinstance(value, str) and not value.isprintable():
        message = "a text of one line"
        raise ValueError(message)
    return value


# What HTTP allows, but for what a shell reads between the quotes in which a command is shown.
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9#%&'*+.^_|~-]{1,100}$")]
HeaderValue = Annotated[SecretText, AfterValidator(_one_line)]


class Call(BaseModel):
    """One request: to a URL, or to a port of each container's own address."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = "POST"
    url: Annotated[Url, AfterValidator(_without_user)] | None = Field(
        default=None, description="called once, however many containers the target has; this or port"
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="called at each container's own address")
    path: str = Field(default="/", pattern=r"^/[!-~]*$", description="a path of ASCII characters that begins with /")
    headers: dict[HeaderName, HeaderValue] = Field(default={}, description="values may be {secret: NAME}")
    body: JsonValue = Field(default=None, alias="json", description="the body, sent as application/json")

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if (self.url is None) == (self.port is None):
            message = "either url, or port with path"
            raise ValueError(message)
        if self.url is not None and self.path != "/":
            message = "a path beside port: a url has its own"
            raise ValueError(message)
        return self

    def to(self, container: ContainerFacts, timeout_s: float) -> HttpCommand:
        """The request for one container."""
        headers = [_entry(name, value) for name, value in self.headers.items()]
        if self.body is not None and not any(each.name.lower() == "content-type" for each in headers):
            headers.append(EnvEntry(name="Content-Type", value="application/json"))
        return HttpCommand(
            method=self.method,
            url=self.url or f"http://{ADDRESS}:{self.port}{self.path}",
            headers=tuple(headers),
            body=None if self.body is None else json.dumps(self.body, ensure_ascii=False),
            deadline_s=timeout_s,
            container_id="" if self.url else container.id,
        )


def _entry(name: str, value: SecretText) -> EnvEntry:
    return (
        EnvEntry(name=name, secret=value.secret) if isinstance(value, SecretRef) else EnvEntry(name=name, value=value)
    )


class HttpCall(FaultSpec):
    """The undo call is sent again until it is answered with 2xx, by whoever undoes: it has to be idempotent."""

    type: Literal["http_call"]
    inject: Call = Field(description="the request that begins it: method, url (or port and path), headers, json")
    undo: Call = Field(description="the request that ends it; sent again until it is answered with 2xx")
    timeout: Duration = Field(default=5.0, gt=0, le=60, description="the longest that an answer may take")

    summary: ClassVar[str] = "Calls the service's own chaos API, and calls it again to end what it began."
    undo_text: ClassVar[str] = "the undo call, when the container is up"
    mechanism: ClassVar[str] = "an HTTP request"
    needs: ClassVar[str] = "an HTTP API that the coordinator reaches"

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """One call for each running container; one for all of them where it is the same.

        Raises Refused where one is to be called at its address, and has none of its own.
        """
        for container in containers:
            mode = container.network_mode
            if None in {self.inject.url, self.undo.url} and (is_shared(mode) or mode == "none"):
                raise Refused(f"{container.name} has no address of its own (network {mode}): give url in place of port")

        def one(container: ContainerFacts) -> tuple[Command, Look, Undo | None]:
            undo = Undo(
                container_id=container.id,
                name=container.name,
                started_at=container.started_at,
                command=self.undo.to(container, self.timeout),
                # What a service was told may outlive its run: it is owed until some run of it is up to be told the end.
                needed_in=tuple(ContainerState),
                any_run=True,
                restores=None,
                # What took too long to answer may be done all the same, a little later.
                settle_s=LATE_S,
            )
            return self.inject.to(container, self.timeout), Succeeded(), undo

        return each_running(containers, one)
