"""What a scenario is: frozen pydantic models that double as its JSON Schema. Every scalar is typed by the field it
lands in, so a file's text and an API's JSON read alike. Knows no file, no line and no engine.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from coordinator.faults.catalogue import AnyFault
from coordinator.faults.targeting import Limits, Target
from coordinator.quantities import (
    CountComparison,
    Duration,
    DurationComparison,
    PercentComparison,
    RateComparison,
    StrictDurationComparison,
    ValueComparison,
    truth,
)
from coordinator.scenarios.hosts import Host, Url

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", description="a name: " + NAME_PATTERN)]
API_VERSION: Final = "test-coordinator/v1"


_PASSWORD: Final = re.compile(r"(://[^:/@\s]*:)[^@/\s]+@")


def masked(text: str) -> str:
    """The text as it may be shown: passwords in URLs are starred out."""
    return _PASSWORD.sub(r"\1***@", text)


class Model(BaseModel):
    """Frozen; unknown fields are errors; numbers may stand where text is due."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, coerce_numbers_to_str=True)


class SecretRef(Model):
    """`{secret: NAME}`: resolved when the command or request runs, never printed or stored."""

    secret: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")


SecretText = str | SecretRef


class Metadata(Model):
    """Who the scenario is."""

    name: Name
    description: str = ""
    tags: tuple[str, ...] = ()


# ---------------------------------------------------------------- probes


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


class PrometheusExpect(Model):
    """What a good value is; without it any number is good."""

    value: CountComparison | None = None


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
    expect: PrometheusExpect = PrometheusExpect()

    @model_validator(mode="after")
    def _one_source(self) -> PrometheusProbe:
        if (self.query is None) == (self.metric is None):
            message = "either query, or metric with labels"
            raise ValueError(message)
        if self.query is not None and self.labels:
            message = "labels only beside metric: a query has its own"
            raise ValueError(message)
        return self


Probe = HttpProbe | TcpProbe | ContainerProbe | ExecProbe | PrometheusProbe
AnyProbe = Annotated[Probe, Field(discriminator="type")]


# ---------------------------------------------------------------- assertions

PROBE_METRICS: Final = (
    "availability", "error_rate", "throughput", "latency_p50", "latency_p90", "latency_p95", "latency_p99",
    "latency_max", "value", "unchanged", "count", "unavailable_for", "recovers_within",
)  # fmt: skip


class ContainerClaim(Model):
    """What every container of a target must be at the moment of judgement."""

    target: str
    state: ContainerCondition | None = None
    health: Health | None = None
    restarts: CountComparison | None = None

    @model_validator(mode="after")
    def _claims(self) -> ContainerClaim:
        if self.state is None and self.health is None and self.restarts is None:
            message = "one of state, health, restarts"
            raise ValueError(message)
        return self


class ProbeMetrics(Model):
    """The metrics that can be claimed of a probe; exactly one is given."""

    availability: PercentComparison | None = None
    error_rate: PercentComparison | None = None
    throughput: RateComparison | None = None
    latency_p50: DurationComparison | None = None
    latency_p90: DurationComparison | None = None
    latency_p95: DurationComparison | None = None
    latency_p99: DurationComparison | None = None
    latency_max: DurationComparison | None = None
    value: ValueComparison | None = None
    unchanged: Annotated[Literal[True], BeforeValidator(truth)] | None = None
    count: CountComparison | None = None
    unavailable_for: DurationComparison | None = None
    recovers_within: Duration | None = None

    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics that are given."""
        return tuple(name for name in PROBE_METRICS if getattr(self, name) is not None)


class Assertion(ProbeMetrics):
    """One claim on a probe over its phase (or `over: execution`), or on containers."""

    probe: str | None = None
    container: ContainerClaim | None = None
    over: Literal["phase", "execution"] = "phase"

    @model_validator(mode="after")
    def _one_claim(self) -> Assertion:
        if (self.probe is None) == (self.container is None):
            message = "either probe with one metric, or container"
            raise ValueError(message)
        if len(self.metrics()) != (1 if self.probe is not None else 0):
            message = "exactly one metric of a probe: " + ", ".join(PROBE_METRICS)
            raise ValueError(message)
        return self


class SteadyClaim(Assertion):
    """A claim that holds before the first phase (over `for`) and after the last."""

    lasts: Duration = Field(default=3.0, alias="for", gt=0)


class AbortCondition(Model):
    """When true at any sample, the execution stops and undoes. `unavailable_for` counts the present bad span, `value`
    is the latest; the others look at the last 100 samples, once there are 10.
    """

    probe: str
    unavailable_for: Duration | None = None
    availability: PercentComparison | None = None
    error_rate: PercentComparison | None = None
    latency_p50: StrictDurationComparison | None = None
    latency_p90: StrictDurationComparison | None = None
    latency_p95: StrictDurationComparison | None = None
    latency_p99: StrictDurationComparison | None = None
    latency_max: StrictDurationComparison | None = None
    value: ValueComparison | None = None

    def condition(self) -> str:
        """The name of the one metric that is given."""
        return next(name for name in type(self).model_fields if name != "probe" and getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_condition(self) -> AbortCondition:
        names = [name for name in type(self).model_fields if name != "probe"]
        if sum(getattr(self, name) is not None for name in names) != 1:
            message = "exactly one of " + ", ".join(names)
            raise ValueError(message)
        return self


# ---------------------------------------------------------------- phases


class WaitUntil(Model):
    """Waits for a probe to be good for `steady_for` without a break, or for containers to be so; `timeout` fails."""

    probe: str | None = None
    steady_for: Duration = 1.0
    container: ContainerClaim | None = None
    timeout: Duration = Field(default=30.0, gt=0)

    @model_validator(mode="after")
    def _one_wish(self) -> WaitUntil:
        if (self.probe is None) == (self.container is None):
            message = "either probe or container"
            raise ValueError(message)
        return self


class Repeat(Model):
    """Plays the phase `times` times, a new round beginning `every` after the last one began (or when it ended)."""

    times: int = Field(ge=1, le=1000)
    every: Duration = 0.0


class Phase(Model):
    """Faults side by side for at least `duration`, then `wait_until`, then the assertions."""

    name: Name
    duration: Duration = 0.0
    wait_until: WaitUntil | None = None
    repeat: Repeat | None = None
    faults: tuple[AnyFault, ...] = ()
    assertions: tuple[Assertion, ...] = Field(default=(), alias="assert")


class Scenario(Model):
    """A whole scenario with its variables already put in."""

    api_version: Literal["test-coordinator/v1"] = Field(alias="apiVersion")
    kind: Literal["Scenario"]
    metadata: Metadata
    extends: Name | None = None
    variables: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = {}
    seed: int | None = None
    limits: Limits = Limits()
    targets: dict[Name, Target] = Field(min_length=1)
    probes: dict[Name, AnyProbe] = {}
    steady_state: tuple[SteadyClaim, ...] = ()
    phases: tuple[Phase, ...] = Field(min_length=1)
    abort_if: tuple[AbortCondition, ...] = ()
