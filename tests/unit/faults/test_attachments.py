"""Networks a container is taken out of: what is planned, how it is given back, and who is left alone."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from coordinator.faults.attachments import NetworkDisconnect
from coordinator.faults.commands import HOSTS_PROGRAM
from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment
from coordinator.faults.locks import lock_command, outlives_runs, parse_lock, undo_from_labels
from coordinator.faults.looks import Detached
from coordinator.record import FaultClass

ID = "0123456789ab" * 5


def container(*networks: NetworkAttachment, state: str = "running", mode: str = "net") -> ContainerFacts:
    """A container in these networks."""
    return ContainerFacts(
        id=ID, name="web", image="i", state=ContainerState(state), started_at="2026-01-01T00:00:00Z",
        network_mode=mode, networks=networks,
    )  # fmt: skip


def disconnect(network: str = "net") -> NetworkDisconnect:
    """As a scenario writes it."""
    return NetworkDisconnect.model_validate({"type": "network_disconnect", "target": "t", "network": network})


@pytest.mark.parametrize(
    ("attachment", "options"),
    [
        (NetworkAttachment(name="net", ip="10.0.0.2", aliases=("web", "api")), ("--alias", "web", "--alias", "api")),
        (NetworkAttachment(name="net", ip="10.0.0.2", wanted_ip="10.0.0.2"), ("--ip", "10.0.0.2")),
        (NetworkAttachment(name="hosting_default", ip="10.0.0.2"), ()),
        (
            NetworkAttachment(name="net", wanted_ip="10.0.0.2", wanted_ipv6="fd00::2", aliases=("web",)),
            ("--ip", "10.0.0.2", "--ip6", "fd00::2", "--alias", "web"),
        ),
        (NetworkAttachment(name="bridge", ip="172.17.0.2", wanted_ip="172.17.0.2", aliases=("web",)), ()),
    ],
)
def test_it_is_connected_as_it_was(attachment: NetworkAttachment, options: tuple[str, ...]) -> None:
    """Aliases and chosen addresses are asked for again, an address that the engine gave is not, and the default bridge
    takes neither.
    """
    (target,) = disconnect(attachment.name).plan([container(attachment, mode=attachment.name)]).targets

    assert target.inject.argv == ("network", "disconnect", attachment.name, ID)
    assert target.effect == Detached(network=attachment.name)
    assert target.undo is not None
    assert target.undo.command.argv == ("network", "connect", *options, attachment.name, ID)
    assert target.undo.attaches == attachment.name


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (container(NetworkAttachment(name="net"), state="exited"), "is exited, not running"),
        (container(NetworkAttachment(name="net"), state="paused"), "is paused, not running"),
        (container(NetworkAttachment(name="host"), mode="host"), "runs with network host"),
        (container(mode="container:x"), "runs with network container:x"),
        (container(NetworkAttachment(name="other")), "is not in network net, but in other"),
        (container(), "is not in network net, but in none"),
    ],
)
def test_what_is_not_in_it_is_left_alone(facts: ContainerFacts, why: str) -> None:
    """The reason is told with what there is instead; nothing is planned."""
    plan = disconnect(facts.networks[0].name if facts.network_mode == "host" else "net").plan([facts])
    assert plan.targets == ()
    assert why in plan.untouched[0].why


def test_it_goes_back_to_that_very_network() -> None:
    """By its id, where that is known: one made anew under its name meanwhile is another network."""
    (target,) = disconnect().plan([container(NetworkAttachment(name="net", network_id="4e7"))]).targets
    assert target.undo is not None
    assert target.undo.command.argv == ("network", "connect", "4e7", ID)
    assert (target.inject.argv[-2], target.undo.attaches) == ("net", "net")


def test_a_network_must_be_named() -> None:
    """Neither a missing name nor an empty one stands for all of them."""
    for fields in ({}, {"network": ""}):
        with pytest.raises(ValidationError, match="network"):
            NetworkDisconnect.model_validate({"type": "network_disconnect", "target": "t"} | fields)


def test_its_undo_is_not_run_from_labels() -> None:
    """Whoever may make a volume could name any network: a person is told the command, in a later run of it as well."""
    undo = disconnect().plan([container(NetworkAttachment(name="net"))]).targets[0].undo
    assert undo is not None
    command = lock_command(ID, "i", "e", "f", 1.0, [undo])
    labels = dict(part.split("=", maxsplit=1) for part in command.argv if part.startswith("test-coordinator."))
    lock = parse_lock(command.argv[-1], labels)

    assert lock is not None
    assert lock.undos is not None
    assert undo_from_labels(ID, lock.undos[0]) is None
    assert outlives_runs(lock.undos[0])
    assert lock.undo == (f"docker network connect net {ID}",)
    assert NetworkDisconnect.fault_class is FaultClass.JOURNAL


def test_what_is_kept_is_what_mends() -> None:
    """What is read of the container when the fault is armed stands in the undo, and nothing mends where it was not."""
    (target,) = disconnect().plan([container(NetworkAttachment(name="net"))]).targets
    assert target.keep is not None
    assert target.keep.argv[-2:] == (HOSTS_PROGRAM, "keep")
    assert target.keep.argv[target.keep.argv.index("--network") + 1] == f"container:{ID}"

    kept, lost = target.with_kept("eJwx").undo, target.with_kept(None).undo
    assert kept is not None
    assert kept.mend is not None
    assert kept.mend.argv[-3:] == (HOSTS_PROGRAM, "mend", "eJwx")
    assert [line.split()[1] for line in kept.shown()] == ["network", "run"]
    assert lost is not None
    assert lost.mend is None
    assert len(lost.shown()) == 1


@pytest.mark.parametrize(
    ("state", "run", "unseen", "mends"),
    [("running", "2026-01-01T00:00:00Z", None, True), ("paused", "2026-01-01T00:00:00Z", None, True),
     ("exited", "2026-01-01T00:00:00Z", None, False), ("running", "2026-01-01T00:00:09Z", None, False),
     ("running", "2026-01-01T00:00:09Z", "2026-01-01T00:00:08.9Z", False),
     ("running", "2026-01-01T00:00:09Z", "2026-01-01T00:00:09Z", True)],
)  # fmt: skip
def test_a_later_run_has_a_file_of_its_own(state: str, run: str, unseen: str | None, *, mends: bool) -> None:
    """The engine makes it anew at each start: nothing is put into it, unless that run was hit in place of the other."""
    undo = disconnect().plan([container(NetworkAttachment(name="net"))]).targets[0].undo
    assert undo is not None
    facts = container(NetworkAttachment(name="net"), state=state).model_copy(update={"started_at": run})
    assert undo.to_mend(facts, unseen) is mends
    assert not undo.to_mend(None, unseen)
