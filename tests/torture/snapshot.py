"""What a container is, in texts that can be compared: as the engine shows it, as the kernel does, and inside.

What may differ after faults that ended a run is named here, and nothing else may.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from docker.errors import APIError

from tests.torture.stage import Stage

Snapshot = Mapping[str, str]
"""One text for each thing that is looked at, by `container: thing`."""

OF_A_RUN: Final = ("Pid", "StartedAt", "FinishedAt")
"""Fields of `State` that every run has its own of."""

OF_AN_ENDPOINT: Final = ("EndpointID",)
OF_A_SANDBOX: Final = ("SandboxID", "SandboxKey")
"""Names that the engine gives to a run's network namespace and to its ends of networks."""

LIMITS: Final = {
    "memory": (
        *("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.soft_limit_in_bytes"),
        *("memory.swappiness", "memory.oom_control", "memory.kmem.limit_in_bytes"),
    ),
    "cpu": ("cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"),
    "cpuset": ("cpuset.cpus", "cpuset.mems"),
    "pids": ("pids.max",),
    "freezer": ("freezer.state",),
    "blkio": ("blkio.weight", "blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device"),
    "": (
        *("memory.max", "memory.high", "memory.low", "memory.swap.max", "cpu.max", "cpu.weight", "io.max"),
        *("io.weight", "pids.max", "cpuset.cpus", "cpuset.mems", "cgroup.freeze"),
    ),
}
"""Files of a control group by controller; without one, those of cgroup v2."""

NETWORK: Final = r"""
nft --stateless list ruleset
iptables-legacy-save
ip -o link | sed 's/^[0-9]*: //; s/@if[0-9]*//'
ip -o address | sed 's/^[0-9]*: //'
ip route
ip rule
tc qdisc show
tc class show
tc filter show
"""
DNS_PORT: Final = re.compile(r"(127\.0\.0\.11:|127\.0\.0\.11 (?:tcp|udp) [ds]port )\d+")
"""The engine's own name server listens at another port in each run, and after each start of the engine."""


def look(stage: Stage, ended: Collection[str]) -> Snapshot:
    """All containers of a stage. Of those whose run may have `ended`, without what belongs to a run."""
    found: dict[str, str] = {}
    for letter, identity in stage.ids.items():
        try:
            shown = stage.api.inspect_container(identity)
        except APIError as error:
            found[f"{letter}: engine"] = str(error)
            continue
        renewed = letter in ended
        pid = shown["State"]["Pid"]
        found[f"{letter}: engine"] = _engine(shown, renewed=renewed)
        found[f"{letter}: files"] = _written(Path(shown["GraphDriver"]["Data"]["UpperDir"]))
        for name, text in _running(pid, renewed=renewed).items() if pid else ():
            found[f"{letter}: {name}"] = text
        # The engine writes its lines for two networks in either order, when a run begins and when one is joined.
        found[f"{letter}: hosts"] = _lines(Path(shown["HostsPath"]), in_order=not renewed)
        found[f"{letter}: resolver"] = _lines(Path(shown["ResolvConfPath"]))
    for identity in stage.networks:
        network = stage.api.inspect_network(identity)
        for end in network["Containers"].values():
            end.pop("EndpointID")
        found[f"network {network['Name']}"] = _text(network)
    return found


def _engine(shown: dict[str, Any], *, renewed: bool) -> str:
    """`docker inspect`, all of it."""
    settings = shown["NetworkSettings"]
    for end in settings["Networks"].values():
        # None at all: the engine writes null, and {} once the docker command line has connected the container.
        end["DriverOpts"] = end["DriverOpts"] or None
    if renewed:
        # Counted by the engine at each restart that its policy makes, and begun anew by `docker start`.
        shown.pop("RestartCount")
        for name in OF_A_RUN:
            shown["State"].pop(name)
        for name in OF_A_SANDBOX:
            settings.pop(name)
        for end in (settings, *settings["Networks"].values()):
            for name in OF_AN_ENDPOINT:
                end.pop(name, None)
    return _text(shown)


def _running(pid: int, *, renewed: bool) -> dict[str, str]:
    """What the kernel shows of a container that is up."""
    groups = _groups(pid)
    found = {"limits": _limits(groups), "network": _network(pid, renewed=renewed), "processes": _processes(groups)}
    shared = Path(f"/proc/{pid}/root/dev/shm")
    found["memory files"] = "\n".join(sorted(path.name for path in shared.iterdir())) if shared.exists() else ""
    return found


def _groups(pid: int) -> dict[str, Path]:
    """The folder of its control group by controller; `""` is cgroup v2."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            folder = Path("/sys/fs/cgroup", *([controllers] if controllers else []), path.lstrip("/"))
            found[controller] = folder
    return found


def _limits(groups: Mapping[str, Path]) -> str:
    files = [(groups[name] / file) for name, names in LIMITS.items() if name in groups for file in names]
    texts = [f"{file.name}: {_lines(file)}" for file in files if file.exists()]
    kept = [f"{name or 'cgroup'} keeps {os.listxattr(folder)}" for name, folder in groups.items() if folder.exists()]
    return "\n".join(texts + kept)


def _code(pid: str) -> bytes:
    """What the kernel gave a process for telling the time, as it is now. Raises OSError."""
    row = next(row for row in Path(f"/proc/{pid}/maps").read_text().splitlines() if row.endswith("[vdso]"))
    start, end = (int(part, 16) for part in row.split()[0].split("-"))
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        memory.seek(start)
        return memory.read(end - start)


def _processes(groups: Mapping[str, Path]) -> str:
    """Command lines, which are stopped by a signal, and which tell the time by other code than the kernel's. The
    engine's health checks and execs come and go.
    """
    folder = next((groups[name] for name in ("pids", "") if name in groups), None)
    found = []
    for pid in _lines(folder / "cgroup.procs").split() if folder is not None else ():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            score = Path(f"/proc/{pid}/oom_score_adj").read_text().strip()
            own = _code(pid) == _code("self")
        except (OSError, StopIteration):
            continue
        found.append(f"{command}oom {score}{' stopped' if state in 'Tt' else ''}{'' if own else ' skewed'}")
    return "\n".join(sorted(found))


def _network(pid: int, *, renewed: bool) -> str:
    """Firewall, addresses, routes and traffic control in its network namespace."""
    argv = ("nsenter", "--target", str(pid), "--net", "sh", "-c", NETWORK)
    text = subprocess.run(argv, check=False, capture_output=True, text=True).stdout
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#") and line.strip())
    text = DNS_PORT.sub(r"\1PORT", text)
    if not renewed:
        return text
    # Of two networks either may be connected first: interfaces are told by their hardware address.
    for name, address in re.findall(r"^(eth\d+): .*link/ether (\S+)", text, re.MULTILINE):
        text = re.sub(rf"\b{name}\b", address, text)
    return "\n".join(sorted(text.splitlines()))


def _written(layer: Path) -> str:
    """What the container has written to its own layer: `docker diff`, and how much."""
    found = []
    for path in sorted(layer.rglob("*")):
        status = path.lstat()
        found.append(f"/{path.relative_to(layer)} {status.st_mode:o} {0 if path.is_dir() else status.st_size}")
    return "\n".join(found)


def _lines(path: Path, *, in_order: bool = False) -> str:
    """A file's lines, in order of the alphabet unless their own counts; empty where it cannot be read."""
    try:
        return path.read_text() if in_order else "\n".join(sorted(path.read_text().splitlines()))
    except OSError:
        return ""


def _text(shown: object) -> str:
    return json.dumps(shown, indent=1, sort_keys=True)


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """One entry for each thing that is not the same text, with the lines that differ."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
            changed = [line for line in lines if line[:2] not in {"--", "++", "@@"} and line[:1] in "+-"]
            found.append(f"{name}: " + " | ".join(line.replace("  ", "") for line in changed[:12]))
    return found
