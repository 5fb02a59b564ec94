"""Tries what faults are made with, in a place of its own where nothing outside is touched, and prints what came of it.

    abilities.py network      in a network namespace that nobody uses: it ends with this program, and all in it
    abilities.py processes    in the host's process namespace; only looks, but for a process of its own
    abilities.py cgroups      beside the host's cgroups; only in the one it is in itself
    abilities.py mounts       the same, and in the mount namespace of what started it; only looks there

Prints one line of JSON: each ability with why it is not here, empty where it works. Knows no engine and no fault.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started as a file: the others are found from the folder that holds the package
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../.."))  # noqa: PTH100  # pathlib takes long to import

import json
import socket
import subprocess
from collections.abc import Callable
from typing import Final

from actors.docker.programs import clock, inside, limits, queue_rules, vdso
from actors.docker.programs.crash import cgroup_of, started
from actors.docker.programs.load_target import Process

OK, FAILED, USAGE = 0, 1, 2
COMMAND_S = 3
TABLE = "tc_probe"
IFB = "tcifb0"
CAP_KILL: Final = 5
HOUR_NS: Final = 3600 * vdso.NS
ROUTES: Final = ("/proc/net/route", "/proc/net/ipv6_route")

LEASES: Final = f"""table inet {TABLE} {{
  comment "probe"
  counter hits {{ }}
  set from4 {{ type ipv4_addr; flags interval,timeout; elements = {{ 192.0.2.1 timeout 10s }} }}
  chain arriving {{
    type filter hook prerouting priority raw; policy accept;
    iif != "lo" ip saddr @from4 counter name hits drop
  }}
}}
"""
QUEUE_AT: Final = queue_rules.EMULATOR.queueing
QUEUE_CHAIN: Final = f"""add table inet {TABLE}
add chain inet {TABLE} {queue_rules.QUEUEING} {{ type filter hook prerouting priority {QUEUE_AT}; }}
"""
REJECT: Final = f"""add table inet {TABLE}
add chain inet {TABLE} arriving {{ type filter hook prerouting priority raw; }}
add rule inet {TABLE} arriving meta l4proto tcp reject with tcp reset
add rule inet {TABLE} arriving reject with icmpx type host-unreachable
"""
EGRESS: Final = f"""add table netdev {TABLE}
add chain netdev {TABLE} out {{ type filter hook egress device "lo" priority 0; }}
"""
FORWARD: Final = f"""add table netdev {TABLE}
add chain netdev {TABLE} in {{ type filter hook ingress device "lo" priority 0; }}
add rule netdev {TABLE} in fwd to "{IFB}"
"""


class Missing(Exception):
    """It does not work here; the text says why, for a person."""


def run(argv: list[str], text: str = "") -> str:
    """A program's output. Raises Missing."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_S)
    except FileNotFoundError:
        raise Missing(f"{argv[0]} is not installed") from None
    except OSError as error:
        raise Missing(f"{argv[0]} cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"{argv[0]} did not end within {COMMAND_S} s") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        told = lines[0].rpartition("Error: ")[2] if lines else f"status {done.returncode}"
        raise Missing(f"{argv[0]}: {told}")
    return done.stdout


# ---------------------------------------------------------------- the network


def leases() -> None:
    """Rules that match while the kernel keeps the elements of a set, read back as JSON. Raises Missing."""
    nft(LEASES)
    try:
        listed = json.loads(run(["nft", "-j", "list", "ruleset"]))["nftables"]
    except (ValueError, KeyError):
        raise Missing("nft prints no JSON") from None
    if not any(item.get("set", {}).get("elem") for item in listed):
        raise Missing("nft does not show a set's element that has a timeout")


def nft(script: str, family: str = "inet") -> None:
    """Apply it in place of what was tried before. Raises Missing."""
    table = f"{family} {TABLE}"
    run(["nft", "-f", "-"], f"table {table}\ndelete table {table}\n{script}")


def xt_queue() -> None:
    """The target of iptables put by hand where nft has no word for it. Raises Missing."""
    nft(QUEUE_CHAIN)
    try:
        queue_rules.add_target(TABLE)
    except OSError as error:
        raise Missing(f"the kernel takes no NFQUEUE: {error.strerror or 'no answer'}") from None


def iptables_queue() -> None:
    """The same by iptables. Raises Missing."""
    queue = ["-j", "NFQUEUE", "--queue-num", str(queue_rules.QUEUE), "--queue-bypass"]
    run(["iptables", "-t", "mangle", "-A", "PREROUTING", *queue])


def raw_packets() -> None:
    """Packets of its own may be sent (capability NET_RAW). Raises Missing."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close()
    except OSError as error:
        raise Missing(f"no raw sockets: {error.strerror}") from None


def tc(*qdisc: str) -> Callable[[], None]:
    """A queueing discipline on the loopback interface, taken off again. Raises Missing."""

    def attempt() -> None:
        run(["tc", "qdisc", "replace", "dev", "lo", "root", "handle", "7c01:", *qdisc])
        run(["tc", "qdisc", "del", "dev", "lo", "root"])

    return attempt


def ifb() -> None:
    """A device that what arrives can be led through; it stays for `forward`. Raises Missing."""
    run(["ip", "link", "add", IFB, "type", "ifb"])


NETWORK: Final[dict[str, Callable[[], None]]] = {
    "nft_leases": leases,
    "nft_queue": lambda: nft(queue_rules.PROBE),
    "xt_queue": xt_queue,
    "iptables_queue": iptables_queue,
    "raw_packets": raw_packets,
    "nft_reject": lambda: nft(REJECT),
    "nft_egress": lambda: nft(EGRESS, "netdev"),
    "tc_htb": tc("htb"),
    "tc_tbf": tc("tbf", "rate", "1mbit", "burst", "32kb", "latency", "50ms"),
    "tc_netem": tc("netem", "delay", "1ms"),
    "ifb": ifb,
    "nft_forward": lambda: nft(FORWARD, "netdev"),
}


def used() -> bool:
    """Whether somebody else may use this network namespace: a fresh one leads nowhere."""
    for path in ROUTES:
        try:
            with open(path, encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
                lines = [line for line in file.read().splitlines() if not line.startswith("Iface")]
        except OSError:  # a kernel without IPv6
            continue
        if any(not line.endswith("lo") for line in lines):
            return True
    return False


# ---------------------------------------------------------------- processes


def processes() -> None:
    """The host's are seen: what started this container is one of them. Raises Missing."""
    parent = os.getppid()
    if parent == 0:
        raise Missing("only the helper's own processes are seen: the engine gave it no --pid host")
    try:
        with open(f"/proc/{parent}/cgroup", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # as above
            file.read()
    except OSError as error:
        raise Missing(f"the cgroup of another process cannot be read: {error.strerror}") from None


def kill() -> None:
    """A process outside may be signalled: asked with the signal that is none. Raises Missing."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123  # as above
        effective = next(line for line in file if line.startswith("CapEff:"))
    if not int(effective.split()[1], 16) >> CAP_KILL & 1:
        raise Missing("the engine gave the helper no capability KILL")
    try:
        os.kill(os.getppid() or os.getpid(), 0)
    except OSError as error:
        raise Missing(f"a process outside cannot be signalled: {error.strerror}") from None


def skew() -> None:
    """The clock of a process of its own is set an hour forward. Raises Missing."""
    try:
        own = clock.pristine()
        clock.proved(own, vdso.patch(own, "probe", HOUR_NS), HOUR_NS)
    except (limits.Failed, vdso.Unknown) as error:
        raise Missing(str(error)) from None


# ---------------------------------------------------------------- cgroups


def own_cgroup() -> limits.Group:
    """The one this program is in, seen among the host's. Raises Missing."""
    found = limits.group_in(cgroup_of(os.getpid()).splitlines(), "memory")
    if found is None or not found.has("cgroup.procs"):
        raise Missing(
            "the helper's own cgroup is not seen: the engine gave it no --cgroupns host, or not the host's cgroups"
        )
    return found


def cgroup_write() -> None:
    """A limit is written, as it was, and read back. Raises Missing."""
    where = own_cgroup()
    name = "memory.max" if where.unified else limits.MEMORY[0]
    try:
        where.write(name, "max" if where.unified else "-1")
    except limits.Failed as error:
        raise Missing(f"a limit of a cgroup cannot be written: {error}") from None


def cgroup_record() -> None:
    """What was there before is kept on a cgroup. Raises Missing."""
    where = own_cgroup()
    try:
        where.keep("probe", {})
        where.forget("probe")
    except limits.Failed as error:
        raise Missing(str(error)) from None
    except OSError as error:
        raise Missing(f"what is kept on a cgroup cannot be taken off: {error.strerror}") from None


def cgroup_join() -> None:
    """A process is moved into a cgroup: this one, to where it is. Raises Missing."""
    where = own_cgroup()
    try:
        where.join(os.getpid())
    except OSError as error:
        raise Missing(f"no process can be moved into a cgroup: {error.strerror}") from None


def mount_namespace() -> None:
    """That of what started this container is entered, by a process that ends there. Raises Missing."""
    heard, said = os.pipe()
    outside = os.getppid() or os.getpid()
    if os.fork() == 0:
        told = ""
        try:
            inside.join(Process(outside, started(outside)))
        except limits.Failed as error:
            told = str(error)
        except OSError as error:
            told = error.strerror or "it cannot be seen"
        os.write(said, told.encode())
        os._exit(OK)
    os.close(said)
    told = os.read(heard, 4096).decode()
    os.close(heard)
    os.wait()
    if told:
        raise Missing(f"the files of another container cannot be reached: {told}")


CGROUPS: Final[dict[str, Callable[[], None]]] = {
    "cgroup_write": cgroup_write,
    "cgroup_record": cgroup_record,
    "cgroup_join": cgroup_join,
}
PROCESSES: Final[dict[str, Callable[[], None]]] = {"processes": processes, "kill": kill, "clock": skew}
BESIDE: Final = CGROUPS | {"processes": processes}
KINDS: Final = {
    "network": NETWORK,
    "processes": PROCESSES,
    "cgroups": BESIDE,
    "mounts": BESIDE | {"mount_namespace": mount_namespace},
}


def main() -> int:
    """0 when all was tried, whatever came of it; 1 where nothing may be tried; 2 for wrong usage."""
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:  # noqa: PLR2004  # itself and what to try
        sys.stderr.write("usage: abilities.py network|processes|cgroups|mounts\n")
        return USAGE
    if sys.argv[1] == "network" and used():
        sys.stderr.write("abilities.py: this network namespace is in use: nothing was tried\n")
        return FAILED
    found = {}
    for name, attempt in KINDS[sys.argv[1]].items():
        try:
            attempt()
            found[name] = ""
        except Missing as error:
            found[name] = str(error)
    sys.stdout.write(json.dumps(found) + "\n")
    return OK


if __name__ == "__main__":
    sys.exit(main())
