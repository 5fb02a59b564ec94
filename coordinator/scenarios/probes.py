"""What a probe is: where it looks, and what a good answer is there. Frozen models, one per type, that a scenario holds
by name.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coordinator.hosts import Host, PostgresUrl, RedisUrl, Url
from coordinator.quantities import CountComparison, Duration, ValueComparison
from coordinator.scenarios.patterns import Pattern
from coordinator.secret_text import SecretRef, SecretText


class Model(BaseModel):
    """Frozen; unknown fields are errors; numbers may stand where text is due."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, coerce_numbers_to_str=True)


class ProbeCommon(Model):
    """What all probes share. `every` paces the samples, `timeout` ends one."""

    every: Duration = Field(default=1.0, gt=0)
    timeout: Duration = Field(default=1.0, gt=0)


class HttpExpect(Model):
    """What a good HTTP answer is. A list of statuses means any of them; without a status: any 2xx."""

    status: Annotated[int, Field(ge=100, le=599)] | tuple[Annotated[int, Field(ge=100, le=599)], ...] | None = None
    body_contains: str | None = None


class HttpProbe(ProbeCommon):
    """One HTTP request. Its value is the status, or with `json_path` (like `a.b.0`) what stands there in the body."""

    type: Literal["http"] = "http"
    url: Url | None = None
    target: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    path: str = "/"
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] = "GET"
    headers: dict[str, SecretText] = {}
    body: str | None = None
    json_path: str | None = None
    follow_redirects: bool = False
    expect: HttpExpect = HttpExpect()

    @model_validator(mode="after")
    def _addressed(self) -> HttpProbe:
        if (self.url is None) == (self.target is None):
            message = "either url, or target with port"
            raise ValueError(message)
        if self.target is not None and self.port is None:
            message = "a port beside target"
            raise ValueError(message)
        return self


class TcpProbe(ProbeCommon):
    """Opens a TCP connection and closes it; its value is the seconds it took."""

    type: Literal["tcp"] = "tcp"
    host: Host | None = None
    target: str | None = None
    port: int = Field(ge=1, le=65535)

    @model_validator(mode="after")
    def _addressed(self) -> TcpProbe:
        if (self.host is None) == (self.target is None):
            message = "either host or target"
            raise ValueError(message)
        return self


ContainerCondition = Literal["created", "running", "paused", "restarting", "exited", "dead", "removed"]
"""A state of the engine, or `removed`: the container is gone."""
Health = Literal["healthy", "unhealthy", "starting", "none"]
"""What the container's own health check says; `none` where it has none."""


class ContainerExpect(Model):
    """What a good container looks like."""

    state: ContainerCondition = "running"
    health: Health | None = None
    max_restarts: int | None = Field(default=None, ge=0)


class ContainerProbe(ProbeCommon):
    """Looks at every container of the target through the engine; its value is `show` of the first."""

    type: Literal["container"] = "container"
    target: str
    show: Literal["state", "health", "restarts"] = "state"
    expect: ContainerExpect = ContainerExpect()


class ExecExpect(Model):
    """What a good end of the command is."""

    exit_code: int = 0
    output_contains: str | None = None


class ExecProbe(ProbeCommon):
    """Runs a command inside the target's first container; its value is the first line of output."""

    type: Literal["exec"] = "exec"
    target: str
    command: tuple[str, ...] = Field(min_length=1)
    env: dict[str, SecretText] = {}
    expect: ExecExpect = ExecExpect()


class NumberExpect(Model):
    """What a good value is; without it any number is good."""

    value: CountComparison | None = None


class ValueExpect(Model):
    """What a good value is, a number or a text; without it any is good."""

    value: ValueComparison | None = None


class PrometheusProbe(ProbeCommon):
    """Reads one number: of an instant `query` to the Prometheus server at `url`, or of the one series with this
    `metric` and at least these `labels` on the metrics page at `url`.
    """

    type: Literal["prometheus"] = "prometheus"
    url: Url
    query: str | None = Field(default=None, min_length=1)
    metric: str | None = Field(default=None, pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", description="a metric's name")
    labels: dict[str, str] = {}
    headers: dict[str, SecretText] = {}
    expect: NumberExpect = NumberExpect()

    @model_validator(mode="after")
    def _one_source(self) -> PrometheusProbe:
        if (self.query is None) == (self.metric is None):
            message = "either query, or metric with labels"
            raise ValueError(message)
        if self.query is not None and self.labels:
            message = "labels only beside metric: a query has its own"
            raise ValueError(message)
        return self


class GrpcHealthExpect(Model):
    """What a good answer is. `SERVICE_UNKNOWN`: the server has no such service."""

    status: Literal["SERVING", "NOT_SERVING", "UNKNOWN", "SERVICE_UNKNOWN"] = "SERVING"


class GrpcHealthProbe(ProbeCommon):
    """Asks a gRPC server how a service of it is, or without `service` the server; its value is the status."""

    type: Literal["grpc_health"] = "grpc_health"
    host: Host | None = None
    target: str | None = None
    port: int = Field(ge=1, le=65535)
    service: str = ""
    tls: bool = False
    expect: GrpcHealthExpect = GrpcHealthExpect()

    @model_validator(mode="after")
    def _addressed(self) -> GrpcHealthProbe:
        if (self.host is None) == (self.target is None):
            message = "either host or target"
            raise ValueError(message)
        return self


class SqlProbe(ProbeCommon):
    """Asks a Postgres server a query; its value is the one column of the one row that comes back."""

    type: Literal["sql"] = "sql"
    dsn: PostgresUrl | SecretRef
    password: SecretText | None = None
    query: str = Field(min_length=1)
    expect: ValueExpect = ValueExpect()


_KEEPS_NO_CONNECTION: Final = frozenset(
    {
        "ASKING", "AUTH", "BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN",
        "CLIENT", "DISCARD", "EXEC", "HELLO", "MONITOR", "MULTI", "PSUBSCRIBE", "PSYNC", "PUNSUBSCRIBE", "QUIT",
        "READONLY", "READWRITE", "RESET", "SELECT", "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "SYNC", "UNSUBSCRIBE",
        "UNWATCH", "WAIT", "WATCH",
    }
)  # fmt: skip
"""Commands that wait, or change what the next command on the same connection means."""


class RedisProbe(ProbeCommon):
    """Sends a Redis server one command; its value is the answer: a number or text, of a list its length."""

    type: Literal["redis"] = "redis"
    url: RedisUrl
    password: SecretText | None = None
    command: tuple[str, ...] = Field(default=("PING",), min_length=1)
    expect: ValueExpect = ValueExpect()

    @model_validator(mode="after")
    def _answered_at_once(self) -> RedisProbe:
        if self.command[0].upper() in _KEEPS_NO_CONNECTION:
            message = f"a command that answers at once and leaves its connection as it was; {self.command[0]} does not"
            raise ValueError(message)
        return self


class LogProbe(ProbeCommon):
    """Counts the lines that the target's containers have logged since the execution began and that match `pattern`."""

    type: Literal["log"] = "log"
    target: str
    pattern: Pattern
    stream: Literal["both", "stdout", "stderr"] = "both"
    expect: NumberExpect = NumberExpect()


Probe = (
    HttpProbe
    | TcpProbe
    | GrpcHealthProbe
    | ContainerProbe
    | ExecProbe
    | SqlProbe
    | RedisProbe
    | PrometheusProbe
    | LogProbe
)
AnyProbe = Annotated[Probe, Field(discriminator="type")]
