"""Finds what faults may have left in the network namespaces of this machine, and takes out what it is told to.

    scan.py look             what of ours is where, as JSON
    scan.py remove JSON      these, each as `look` told it and still the same; tells what became of each

Runs in the host's process namespace. Visits each network namespace that a process is in, those of no container too.
Tables, queueing disciplines and devices are read from the kernel itself; only iptables takes a program. Knows no engine
and decides nothing. Standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import shlex
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

TABLE = re.compile(r"tc_[0-9a-f]{32}")
DEVICE = re.compile(r"tcifb[A-Za-z0-9]{0,10}")
RULE = re.compile(r"--comment \"?tc:([0-9a-f]{32})\"?")
CONTAINER = re.compile(r"[0-9a-f]{64}")
HANDLE = 0x7C010000
"""Of a queueing discipline: `7c01:`."""

FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
CLONE_NEWNET = 0x40000000
MOST = 64 * 1024

# From linux/netlink.h, linux/netfilter/nf_tables.h, linux/rtnetlink.h.
NETFILTER = 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
ERROR, DONE = 2, 3
NFT_NEW, NFT_GET, NFT_DELETE = 10 << 8, 10 << 8 | 1, 10 << 8 | 2
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NETFILTER_BATCH = struct.pack("=BBH", 0, 0, socket.htons(10))
TABLE_NAME, TABLE_USERDATA = 1, 6
USERDATA_COMMENT = 0
LINK_GET, LINK_DELETE, LINK_NAME = 18, 17, 3
QDISC_GET, QDISC_DELETE = 38, 37

Json = dict[str, Any]


def main() -> int:
    """0 when it was done, 2 for wrong usage."""
    match sys.argv[1:]:
        case ["look"]:
            told: object = look()
        case ["remove", text]:
            told = remove(json.loads(text))
        case _:
            sys.stderr.write("usage: scan.py look | remove JSON\n")
            return 2
    json.dump(told, sys.stdout)
    return 0


# ---------------------------------------------------------------- namespaces


class Namespace:
    """A network namespace by one of the processes in it, kept open so that it cannot be another one later."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self.descriptor = descriptor
        self.containers: set[str] = set()
        """Ids of the containers of the processes in it."""
        self.outside = False
        """Whether a process of no container is in it: it may be the machine's own."""

    def enter(self) -> None:
        """Go in, for good: the next visit goes on from there. Raises OSError."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(self.descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def namespaces() -> dict[int, Namespace]:
    """Every one that a process is in, by inode."""
    found: dict[int, Namespace] = {}
    for name in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):  # noqa: PTH208  # fast
        try:
            inode = os.stat(f"/proc/{name}/ns/net").st_ino  # noqa: PTH116  # fast
            if inode not in found:
                found[inode] = Namespace(int(name), os.open(f"/proc/{name}/ns/net", os.O_RDONLY))
            with open(f"/proc/{name}/cgroup", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # fast
                ids = CONTAINER.findall(file.read())
            found[inode].containers.update(ids)
            found[inode].outside |= not ids
        except OSError:  # it has just ended
            continue
    return found


def look() -> Json:
    """What of ours is where. `unable`: what could not be looked at, and why."""
    told, unable = [], set()
    for inode, namespace in namespaces().items():
        try:
            namespace.enter()
        except OSError as error:
            unable.add(f"network namespaces of other processes: {os.strerror(error.errno or 0)}")
            continue
        traces, failures = present()
        unable |= failures
        if traces:
            told.append({
                "inode": inode, "pid": namespace.pid, "outside": namespace.outside,
                "containers": sorted(namespace.containers), "traces": traces,
            })  # fmt: skip
    return {"namespaces": told, "unable": sorted(unable)}


def present() -> tuple[list[Json], set[str]]:
    """What of ours is in the present namespace, and what could not be looked at."""
    traces: list[Json] = []
    unable = set()
    for what, found in (("nftables", tables), ("tc", qdiscs), ("tc", devices), ("iptables", rules)):
        try:
            traces += found()
        except OSError as error:
            unable.add(f"{what}: {error.strerror}")
    return traces, unable


def remove(asked: list[Json]) -> list[Json]:
    """Take out each of these, where it is still what it was; `error` is empty when it is gone."""
    here = namespaces()
    told = []
    for each in asked:
        namespace = here.get(each["inode"])
        error = ""
        if namespace is not None:
            try:
                namespace.enter()
                if each["trace"] in present()[0]:
                    take_out(each["trace"])
            except OSError as failed:
                error = failed.strerror or str(failed)
        told.append({**each, "error": error})
    return told


def take_out(trace: Json) -> None:
    """One of those that `present` tells. Raises OSError when it is still there."""
    match trace["kind"]:
        case "table":
            remove_table(trace["name"], trace["family"])
        case "qdisc":
            remove_qdisc(trace["device"], int(trace["parent"], 16))
        case "device":
            remove_device(trace["name"])
        case _:
            remove_rule(trace)


def trace_of(kind: str, name: str, **more: str) -> Json:
    """One thing of ours."""
    return {"kind": kind, "name": name, "family": "", "device": "", "parent": "", "comment": "", **more}


# ---------------------------------------------------------------- nftables


def tables() -> list[Json]:
    """The tables whose name is one of ours, with their comments. None where the kernel has no nftables."""
    found = []
    try:
        for kind, payload in dump(NETFILTER, NFT_GET, struct.pack("=BBH", 0, 0, 0)):
            values = dict(attributes(payload[4:]))
            name = text_of(values.get(TABLE_NAME, b""))
            if kind == NFT_NEW and TABLE.fullmatch(name):
                family = FAMILIES.get(payload[0], str(payload[0]))
                found.append(trace_of("table", name, family=family, comment=comment_of(values.get(TABLE_USERDATA))))
    except OSError as error:
        if error.errno not in {errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL}:
            raise
    return found


def comment_of(userdata: bytes | None) -> str:
    """What `nft` keeps of a comment: type, length, text, one after the other."""
    rest = userdata or b""
    while len(rest) > 2:  # noqa: PLR2004  # type and length
        kind, length = rest[0], rest[1]
        if kind == USERDATA_COMMENT:
            return text_of(rest[2 : 2 + length])
        rest = rest[2 + length :]
    return ""


def remove_table(name: str, family: str) -> None:
    """With all that is in it, at once. Raises OSError."""
    number = next((number for number, known in FAMILIES.items() if known == family), 0)
    deletion = struct.pack("=BBH", number, 0, 0) + attribute(TABLE_NAME, name.encode() + b"\0")
    batch = (
        message(BATCH_BEGIN, REQUEST, 1, NETFILTER_BATCH)
        + message(NFT_DELETE, REQUEST | ACK, 2, deletion)
        + message(BATCH_END, REQUEST, 3, NETFILTER_BATCH)
    )
    acknowledged(NETFILTER, batch, 2)


# ---------------------------------------------------------------- tc and devices


def links() -> dict[int, str]:
    """The devices of the present namespace."""
    found = {}
    for _, payload in dump(socket.NETLINK_ROUTE, LINK_GET, bytes(16)):
        found[struct.unpack_from("=i", payload, 4)[0]] = text_of(dict(attributes(payload[16:])).get(LINK_NAME, b""))
    return found


def devices() -> list[Json]:
    """Our intermediate devices."""
    return [trace_of("device", name) for name in links().values() if DEVICE.fullmatch(name)]


def qdiscs() -> list[Json]:
    """Our queueing disciplines."""
    names = links()
    found = []
    for _, payload in dump(socket.NETLINK_ROUTE, QDISC_GET, bytes(20)):
        index, handle, parent = struct.unpack_from("=iII", payload, 4)
        if handle == HANDLE:
            found.append(trace_of("qdisc", "7c01:", device=names.get(index, str(index)), parent=f"{parent:x}"))
    return found


def remove_device(name: str) -> None:
    """Raises OSError."""
    payload = bytes(16) + attribute(LINK_NAME, name.encode() + b"\0")
    acknowledged(socket.NETLINK_ROUTE, message(LINK_DELETE, REQUEST | ACK, 2, payload), 2)


def remove_qdisc(device: str, parent: int) -> None:
    """The kernel then puts its default in its place. Raises OSError."""
    index = next((index for index, name in links().items() if name == device), 0)
    payload = struct.pack("=BBHiIII", 0, 0, 0, index, HANDLE, parent, 0)
    acknowledged(socket.NETLINK_ROUTE, message(QDISC_DELETE, REQUEST | ACK, 2, payload), 2)


# ---------------------------------------------------------------- iptables


def rules() -> list[Json]:
    """The rules that bear our comment. Raises OSError where there is no iptables to ask."""
    found = []
    for program in ("iptables", "ip6tables"):
        table = ""
        for line in run(f"{program}-save"):
            if line.startswith("*"):
                table = line[1:]
            bears = RULE.search(line)
            if bears and line.startswith("-A "):
                found.append(trace_of("rule", line, family=program, device=table, comment=bears[1]))
    return found


def remove_rule(trace: Json) -> None:
    """Raises OSError."""
    if trace["family"] not in {"iptables", "ip6tables"}:
        raise OSError(errno.EINVAL, "no such program")
    run(trace["family"], "-w", "-t", trace["device"], "-D", *shlex.split(trace["name"])[1:])


def run(*argv: str) -> list[str]:
    """The lines that a program prints. Raises OSError."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError:
        raise OSError(errno.ENOENT, f"{argv[0]} is not in the helper image") from None
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"{argv[0]} did not answer") from None
    if done.returncode != 0:
        raise OSError(errno.EIO, (done.stderr.strip().splitlines() or [f"{argv[0]}: status {done.returncode}"])[0])
    return done.stdout.splitlines()


# ---------------------------------------------------------------- netlink


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One message, padded to four bytes."""
    body = payload + bytes(-len(payload) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and values; the two upper bits of a type say only how to read it."""
    while len(data) >= 4:  # noqa: PLR2004  # length and type
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[max(4, length + -length % 4) :]


def answers(link: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Kind, sequence number and payload of what the kernel says."""
    while True:
        data = link.recv(MOST)
        while data:
            length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data)
            yield kind, sequence, data[16:length]
            data = data[length + -length % 4 :]


def dump(protocol: int, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
    """All there is of a kind. Raises OSError."""
    found = []
    with opened(protocol) as link:
        link.send(message(kind, REQUEST | DUMP, 1, payload))
        for answer, _, body in answers(link):
            if answer == DONE:
                break
            if answer == ERROR:
                raise_for(body)
                break
            found.append((answer, body))
    return found


def acknowledged(protocol: int, sent: bytes, sequence: int) -> None:
    """Have it done. Raises OSError; what is gone already counts as done."""
    with opened(protocol) as link:
        link.send(sent)
        for answer, about, body in answers(link):
            if answer == ERROR:
                try:
                    raise_for(body)
                except OSError as error:
                    if error.errno not in {errno.ENOENT, errno.ENODEV}:
                        raise
                if about == sequence:
                    return


def opened(protocol: int) -> socket.socket:
    """A socket in the present namespace, which does not wait for ever."""
    link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    link.settimeout(10)
    link.bind((0, 0))
    return link


def raise_for(body: bytes) -> None:
    """Raise the OSError that an answer tells; 0 is none."""
    (status,) = struct.unpack_from("=i", body)
    if status:
        raise OSError(-status, os.strerror(-status))


def text_of(value: bytes) -> str:
    """Up to the zero at the end."""
    return value.split(b"\0", 1)[0].decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
