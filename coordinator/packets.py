"""What a fault of the network met while it was on, in packets: read from the answer of its undo, told to a person, and
judged. One that met none proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from coordinator.faults.commands import Outcome
from coordinator.faults.facts import Value
from coordinator.faults.looks import Undo
from coordinator.record import Fault

DISTURBED: Final[Mapping[str, str]] = {
    "network_latency": "delayed",
    "network_loss": "lost",
    "network_packet_loss": "lost",
    "network_duplication": "doubled",
    "network_corruption": "corrupted",
    "network_reordering": "let ahead",
    "dns_failure": "spoiled",
}
"""What is done to some of those that are met."""

STOPPED: Final = frozenset({"network_partition", "network_blackhole"})
"""The types that stop all they meet."""

NOTHING: Final = "nothing was disturbed"


class Met(Value):
    """How many packets a fault was about, and to how many of them something was done; None where nobody counts that."""

    packets: int
    disturbed: int | None = None


def met(undo: Undo, outcome: Outcome, effective_at: datetime | None) -> Met | None:
    """What the undo of a fault in a network namespace has told; None where it is none, or nothing was there.

    None as well where the fault was put once more on a later run than the one it was first seen on: the counts of that
    one are gone with it.
    """
    first_seen = effective_at.isoformat() if effective_at is not None else ""
    if not undo.command.namespace or (first_seen and undo.started_at > first_seen):
        return None
    try:
        told = json.loads(outcome.stdout)
    except ValueError:
        return None
    if not isinstance(told, dict) or not told.get("was_there") or not isinstance(told.get("packets"), int):
        return None
    happened = told.get("happened")
    return Met(packets=told["packets"], disturbed=happened if isinstance(happened, int) else None)


def sentence(fault_type: str, counted: Met) -> str:
    """`met 1,240 packets, 371 lost`."""
    text = f"met {_counted(counted.packets)}"
    if fault_type in STOPPED and counted.packets:
        return f"{text}, all stopped"
    if counted.disturbed is None or not counted.packets:
        return text
    disturbed = f"{counted.disturbed:,}" if counted.disturbed else "none"
    return f"{text}, {disturbed} {DISTURBED.get(fault_type, 'hit')}"


def vain(fault: Fault) -> str:
    """Why a fault that took effect disturbed nothing; empty where it did, or where nobody can say."""
    hit = [target for target in fault.targets if target.effective_at is not None]
    packets = [target.packets for target in hit if target.packets is not None]
    if not hit or len(packets) < len(hit):
        return ""
    if not sum(packets):
        return f"met no packet: {NOTHING}"
    disturbed = [target.disturbed for target in hit if target.disturbed is not None]
    if len(disturbed) == len(hit) and not sum(disturbed):
        return f"met {_counted(sum(packets))}, and did nothing to any: {NOTHING}"
    return ""


def _counted(packets: int) -> str:
    return {0: "no packet", 1: "1 packet"}.get(packets, f"{packets:,} packets")
