"""What a scenario is: frozen pydantic models that double as its JSON Schema. Every scalar is typed by the field it
lands in, so a file's text and an API's JSON read alike. Knows no file, no line and no engine.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import (
    BeforeValidator,
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
from coordinator.scenarios.probes import AnyProbe, ContainerCondition, Health, Model

NAME_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", description="a name: " + NAME_PATTERN)]
API_VERSION: Final = "test-coordinator/v1"


_PASSWORD: Final = re.compile(r"(://[^:/@\s]*:)[^@/\s]+@")


def masked(text: str) -> str:
    """The text as it may be shown: passwords in URLs are starred out."""
    return _PASSWORD.sub(r"\1***@", text)


class Metadata(Model):
    """Who the scenario is."""

    name: Name
    description: str = ""
    tags: tuple[str, ...] = ()


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
