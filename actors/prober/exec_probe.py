"""Runs a command inside a container and reads its exit code and output. Never a shell unless the scenario names one."""

from __future__ import annotations

from collections.abc import Sequence

from actors.prober.failures import NoContainer, failed, timed_out, wrong_answer
from actors.prober.values import number_or_text
from coordinator.faults.commands import DockerCommand, EnvEntry
from coordinator.faults.facts import ContainerFacts, ContainerState
from coordinator.ports import CommandRunner, EngineFacts
from coordinator.record import Reading
from coordinator.scenarios.probes import ExecProbe
from coordinator.secret_text import SecretRef


async def look(
    probe: ExecProbe, containers: Sequence[ContainerFacts], runner: CommandRunner, facts: EngineFacts
) -> Reading:
    """Run it once in the first container; the value is the first line of output, as a number when it reads as one.

    Raises NoContainer, EngineUnreachable, MissingSecret.
    """
    if not containers:
        raise NoContainer(f"target {probe.target!r} has no container")
    outcome = await runner.run(command_of(probe, containers[0].id))
    if outcome.timed_out:
        return timed_out(probe.timeout)
    value, latency_s = first_line(outcome.stdout), outcome.duration_s
    if outcome.exit_code != probe.expect.exit_code:
        said = outcome.stderr or outcome.stdout
        return wrong_answer(
            f"exit code {outcome.exit_code}, expected {probe.expect.exit_code}: {said}",
            latency_s=latency_s,
            value=value,
        )
    wanted = probe.expect.output_contains
    if wanted is not None and wanted not in outcome.stdout:
        return wrong_answer(f"{wanted!r} is not in the output", latency_s=latency_s, value=value)
    if outcome.exit_code and not await _is_running(containers[0].id, facts):
        # `docker exec` itself ends with 1 when the container is not running.
        return failed(NoContainer(f"{containers[0].name} is not running"))
    return Reading(ok=True, latency_s=latency_s, value=value)


def command_of(probe: ExecProbe, container_id: str) -> DockerCommand:
    """`docker exec`; secrets travel in docker's environment, plain values as arguments.

    A plain `PATH` or `DOCKER_HOST` is meant for the container and must not become docker's own.
    """
    options: list[str] = []
    env: list[EnvEntry] = []
    for name, value in probe.env.items():
        if isinstance(value, SecretRef):
            options += ("-e", name)
            env.append(EnvEntry(name=name, secret=value.secret))
        else:
            options += ("-e", f"{name}={value}")
    return DockerCommand(
        argv=("exec", *options, container_id, *probe.command), env=tuple(env), deadline_s=probe.timeout
    )


def first_line(output: str) -> float | str | None:
    """The first line, as a number when it is a finite one; None when there is no output."""
    return number_or_text(next(iter(output.splitlines()), ""))


async def _is_running(container_id: str, facts: EngineFacts) -> bool:
    return (await facts.states([container_id])).get(container_id) is ContainerState.RUNNING
