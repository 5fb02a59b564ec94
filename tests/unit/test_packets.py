"""What a fault of the network met: read from its undo, told, judged."""

import json
from datetime import UTC, datetime

import pytest

from coordinator.faults.commands import DockerCommand, Outcome, in_namespace
from coordinator.faults.looks import Undo
from coordinator.packets import Met, met, sentence, vain
from coordinator.record import Fault, FaultClass, FaultState, TargetOutcome

AT = datetime(2026, 1, 2, tzinfo=UTC)
REMOVE = in_namespace("c" * 64, "remove", "f")


def undo(command: DockerCommand = REMOVE, started_at: str = "2026-01-01T00:00:00.123456789Z") -> Undo:
    """Of a fault that was put on the run that began then."""
    return Undo(container_id="c", name="c", started_at=started_at, command=command, needed_in=(), restores=None)


def told(**fields: object) -> Outcome:
    """The answer of the program that took a fault out."""
    return Outcome(exit_code=0, stdout=json.dumps({"removed": "f", **fields}))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (told(was_there=True, packets=5), Met(packets=5)),
        (told(was_there=True, packets=1240, happened=371), Met(packets=1240, disturbed=371)),
        (told(was_there=False, packets=0), None),
        (told(was_there=True), None),
        (Outcome(exit_code=0, stdout="[]"), None),
        (Outcome(exit_code=1, stderr="it failed"), None),
    ],
)
def test_what_an_undo_tells(outcome: Outcome, expected: Met | None) -> None:
    """Counters of what was there; nothing is read into any other answer."""
    assert met(undo(), outcome, AT) == met(undo(), outcome, None) == expected


def test_only_our_own_program_is_believed() -> None:
    """What a user's command prints is no count, whatever it looks like."""
    theirs = DockerCommand(argv=("exec", "c", "remove"), deadline_s=1)
    assert met(undo(theirs), told(was_there=True, packets=5), AT) is None


def test_a_later_run_has_not_all_counts() -> None:
    """Where the fault was put once more on a later run, nobody knows what it met before."""
    assert met(undo(started_at="2026-01-02T00:00:01.5Z"), told(was_there=True, packets=0), AT) is None


@pytest.mark.parametrize(
    ("fault_type", "counted", "expected"),
    [
        ("network_loss", Met(packets=1240, disturbed=371), "met 1,240 packets, 371 lost"),
        ("network_latency", Met(packets=1, disturbed=1), "met 1 packet, 1 delayed"),
        ("network_loss", Met(packets=20, disturbed=0), "met 20 packets, none lost"),
        ("network_partition", Met(packets=1000), "met 1,000 packets, all stopped"),
        ("network_bandwidth", Met(packets=1000), "met 1,000 packets"),
        ("network_loss", Met(packets=0, disturbed=0), "met no packet"),
        ("network_blackhole", Met(packets=0), "met no packet"),
    ],
)
def test_in_words(fault_type: str, counted: Met, expected: str) -> None:
    """How many, and what was done to them."""
    assert sentence(fault_type, counted) == expected


def fault(*counts: tuple[int | None, int | None], effective: bool = True) -> Fault:
    """One with a target for each of these counts."""
    return Fault(
        id="f", execution_id="e", phase="p", type="network_loss", target="t", fault_class=FaultClass.LEASE,
        mechanism="m", state=FaultState.UNDONE,
        targets=tuple(
            TargetOutcome(
                container_id=str(place), name=str(place), effective_at=AT if effective else None, packets=packets,
                disturbed=disturbed,
            )
            for place, (packets, disturbed) in enumerate(counts)
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (fault((0, 0)), "met no packet: nothing was disturbed"),
        (fault((0, None), (0, None)), "met no packet: nothing was disturbed"),
        (fault((2, 0), (1, 0)), "met 3 packets, and did nothing to any: nothing was disturbed"),
        # Of two that are cut off from each other, one may have nothing to answer.
        (fault((0, None), (7, None)), ""),
        (fault((2, 0), (1, 1)), ""),
        (fault((7, None)), ""),
        (fault((0, 0), (None, None)), ""),
        (fault((0, 0), effective=False), ""),
        (fault(), ""),
    ],
)
def test_in_vain(given: Fault, expected: str) -> None:
    """Only where every target that was hit has counted, and all of them together came to nothing."""
    assert vain(given) == expected
