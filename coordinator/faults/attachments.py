"""A container's place in a network, taken away and given back through the engine. Plans only what runs and is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from coordinator.faults.commands import KEPT, DockerCommand, beside_hosts
from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment
from coordinator.faults.looks import Detached, Undo
from coordinator.faults.model import ALONE, FaultPlan, FaultSpec, Surroundings, TargetPlan, Untouched
from coordinator.faults.network import is_shared

DEFAULT_BRIDGE = "bridge"
"""The one network that knows neither aliases nor addresses of one's own choice."""


class NetworkDisconnect(FaultSpec):
    """`docker network disconnect`. What was taken is the container's, not its run's: a restart does not help."""

    type: Literal["network_disconnect"]
    network: str = Field(min_length=1, description="the network's name, as docker network ls shows it")

    summary: ClassVar[str] = "Takes the container out of a network: its interface and its names there are gone."
    undo_text: ClassVar[str] = (
        "connected again with the same aliases and the addresses that were asked for, and /etc/hosts as it was; without"
        " a helper its lines for other networks are back only after the container's next start"
    )
    needs: ClassVar[str] = "a Docker engine; the helper image (HELPER_IMAGE) for the undo of /etc/hosts"
    undo_by_helper: ClassVar[bool] = True
    mechanism: ClassVar[str] = "docker network disconnect"

    def plan(self, containers: Sequence[ContainerFacts], around: Surroundings = ALONE) -> FaultPlan:
        """Take each running container that is in the network out of it."""
        targets, untouched = [], []
        for container in containers:
            attachment = next((each for each in container.networks if each.name == self.network), None)
            why = _why_not(container, self.network)
            if attachment is None or why:
                untouched.append(Untouched(container_id=container.id, name=container.name, why=why))
            else:
                targets.append(_target(container, attachment))
        return FaultPlan(targets=tuple(targets), untouched=tuple(untouched))


def _why_not(container: ContainerFacts, network: str) -> str:
    if container.state is not ContainerState.RUNNING:
        return f"is {container.state}, not running: left alone"
    if is_shared(container.network_mode) or container.network_mode == "none":
        return f"runs with network {container.network_mode}: nothing to take it out of, left alone"
    names = [each.name for each in container.networks]
    return "" if network in names else f"is not in network {network}, but in {', '.join(names) or 'none'}: left alone"


def _target(container: ContainerFacts, attachment: NetworkAttachment) -> TargetPlan:
    # By its id: one made anew under the same name is another network, which nobody took the container out of.
    network = attachment.network_id or attachment.name
    undo = Undo(
        container_id=container.id,
        name=container.name,
        started_at=container.started_at,
        command=DockerCommand(argv=("network", "connect", *_as_before(attachment), network, container.id)),
        # Whatever its state, and in a later run as well: see `looks.need`.
        needed_in=tuple(ContainerState),
        restores=None,
        attaches=attachment.name,
        mend=beside_hosts(container.id, "mend", KEPT),
    )
    return TargetPlan(
        container_id=container.id,
        name=container.name,
        started_at=container.started_at,
        pre_state=container.state,
        inject=DockerCommand(argv=("network", "disconnect", attachment.name, container.id)),
        effect=Detached(network=attachment.name),
        undo=undo,
        keep=beside_hosts(container.id, "keep"),
    )


def _as_before(attachment: NetworkAttachment) -> tuple[str, ...]:
    """The options of a connect that makes the attachment what it was.

    An address is asked for where it was before: the engine refuses any wish in a network whose subnet it chose itself,
    and one that nobody had pinned must not be pinned afterwards.
    """
    if attachment.name == DEFAULT_BRIDGE:
        return ()
    wishes = (("--ip", attachment.wanted_ip), ("--ip6", attachment.wanted_ipv6))
    aliases = (("--alias", alias) for alias in attachment.aliases)
    return tuple(part for option, value in (*wishes, *aliases) if value for part in (option, value))
