"""What a coordinator may have left: helpers, locks, rules, processes, rows of its ledger."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Final

from actors.ledger import reads
from actors.ledger.store import LEDGER_FILE, read
from coordinator.identity import LABEL_INSTANCE, LABEL_ROLE
from coordinator.record import ExecutionState
from tests.torture.snapshot import Snapshot
from tests.torture.stage import Stage

OURS: Final = (" tc_", " 7c01:", "tcifb", '"tc:')
"""In what nft, tc, ip and iptables print."""


def on_the_engine(stage: Stage, instance: str) -> list[str]:
    """Helper containers of this instance, and locks on the stage's containers."""
    filters = [f"{LABEL_ROLE}=helper", f"{LABEL_INSTANCE}={instance}"]
    helpers = stage.api.containers(all=True, filters={"label": filters})
    volumes = stage.api.volumes()["Volumes"] or ()
    locks = {f"tc-{identity}" for identity in stage.ids.values()} & {volume["Name"] for volume in volumes}
    return [f"helper container {each['Names']} left" for each in helpers] + [
        f"lock {name} left" for name in sorted(locks)
    ]


def in_namespaces(shown: Snapshot) -> list[str]:
    """Tables, queueing disciplines, devices and iptables rules of ours in the containers' network namespaces."""
    lines = [(name, line) for name, text in shown.items() if name.endswith(": network") for line in text.splitlines()]
    return [f"{line.strip()} left: {name}" for name, line in lines if any(mark in line for mark in OURS)]


def processes(data_dir: Path) -> list[int]:
    """Processes that were started for this DATA_DIR, children and wardens included: it is in their environment."""
    entry = f"DATA_DIR={data_dir}\0".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if (
                entry in (folder / "environ").read_bytes()
                and (folder / "stat").read_text().rpartition(")")[2][1] != "Z"
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def told(pid: int) -> str:
    """A process's command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def in_the_ledger(data_dir: Path, accepted: Collection[str]) -> list[str]:
    """Faults that are outstanding, and executions that were accepted and have no verdict."""
    path = data_dir / LEDGER_FILE
    if not path.exists():
        return ["there is no ledger"]
    rows = read(path, lambda connection: reads.faults(connection, None, outstanding=True))
    found = [f"fault {row.fault.type} {row.fault.id} is {row.fault.state.value}" for row in rows]
    for execution_id in accepted:
        execution = read(path, partial(reads.execution, execution_id=execution_id))
        if execution is None:
            found.append(f"execution {execution_id} was accepted and is unknown")
        elif execution.state is not ExecutionState.FINISHED or execution.verdict is None:
            found.append(f"execution {execution_id} is {execution.state.value}, verdict {execution.verdict}")
    return found
