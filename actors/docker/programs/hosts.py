"""Puts back the lines of a container's /etc/hosts that its engine takes out with one network and does not write again.

    hosts.py keep           prints what is there, for mend
    hosts.py mend KEPT      what was there is there again when this ends with 0

Runs in a container that joined another's network namespace, which has the other's very /etc/hosts. Docker 20.10 takes
out every line with the container's own name, and empty ones, when the container leaves any of its networks, and writes
one when it joins one. Put back are such lines alone, and none of a network that the container is not in. Standard
library only.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import sys
import zlib
from collections import Counter
from typing import NamedTuple

OK, FAILED, USAGE = 0, 1, 2
HOSTS = "/etc/hosts"
IPV4 = "/proc/net/fib_trie"
IPV6 = "/proc/net/if_inet6"
GLOBAL = "00"
"""The scope of an address, in IPV6, that others can reach."""

TRIES = 5
"""Others may write the file at the same time."""

LARGEST = 48 << 10
"""What is kept has to fit into one argument of a command."""


class Failed(Exception):
    """It could not be done; says why, for a person."""


class Seen(NamedTuple):
    """The file, and the addresses of the interfaces there are."""

    text: bytes
    own: frozenset[bytes]


# ---------------------------------------------------------------- what is looked at


def look(file: int) -> Seen:
    """The file and the addresses of one moment: the engine writes a line before its address, and takes it out after."""
    while True:
        own, text = addresses(), content(file)
        if own == addresses():
            return Seen(text, own)


def content(file: int) -> bytes:
    """All of an open file."""
    return os.pread(file, os.fstat(file).st_size, 0)


def addresses() -> frozenset[bytes]:
    """Of all interfaces but the loopback."""
    return ipv4(text_of(IPV4)) | ipv6(text_of(IPV6))


def text_of(path: str) -> str:
    """A file of the kernel; empty where this kernel has none."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123  # pathlib takes long to import
            return file.read()
    except OSError:
        return ""


def ipv4(trie: str) -> frozenset[bytes]:
    """The addresses that are local to the machine, in the kernel's own table of routes."""
    found, last = set(), ""
    for line in trie.splitlines():
        words = line.split()
        if words[0] in {"|--", "+--"}:
            last = words[1]
        elif words[-2:] == ["host", "LOCAL"] and not last.startswith("127."):
            found.add(last.encode())
    return frozenset(found)


def ipv6(table: str) -> frozenset[bytes]:
    """The global ones, written as short as they are usually."""
    import socket  # only here, and it takes long to import

    found = (line.split() for line in table.splitlines())
    return frozenset(
        socket.inet_ntop(socket.AF_INET6, bytes.fromhex(words[0])).encode() for words in found if words[3] == GLOBAL
    )


# ---------------------------------------------------------------- what is kept, and what is missing


def packed(seen: Seen) -> str:
    """As one word. Raises Failed where that is too long for a command."""
    told = {"own": sorted(each.decode() for each in seen.own), "text": seen.text.decode(errors="surrogateescape")}
    word = base64.b64encode(zlib.compress(json.dumps(told).encode(), 9)).decode()
    if len(word) > LARGEST:
        raise Failed(f"{HOSTS} is too long to be kept: {len(seen.text)} bytes")
    return word


def unpacked(word: str) -> Seen:
    """What `packed` made. Raises ValueError."""
    try:
        told = json.loads(zlib.decompress(base64.b64decode(word, validate=True)))
        own = frozenset(str(each).encode() for each in told["own"])
        return Seen(str(told["text"]).encode(errors="surrogateescape"), own)
    except (zlib.error, LookupError, TypeError) as error:
        raise ValueError(str(error)) from None


def missing(then: Seen, now: Seen, hostname: bytes) -> list[bytes]:
    """The lines that the engine took out and has to have written again, in their order."""
    names = {written(hostname)} | {name for address, name in map(parts, then.text.splitlines()) if address in then.own}
    left = Counter(now.text.splitlines())
    lost = []
    for line in then.text.splitlines():
        if left[line]:
            left[line] -= 1
        elif not line or (ends_in(line, names) and parts(line)[0] not in then.own - now.own):
            lost.append(line)
    return lost + newer(then, now, written(hostname))


def ends_in(line: bytes, names: set[bytes]) -> bool:
    """Whether the engine takes it for a line of one of these names."""
    return any(line.endswith(b"\t" + name) for name in names)


def newer(then: Seen, now: Seen, name: bytes) -> list[bytes]:
    """Those of addresses it has got since: where one had no line then, another fault of the kind was on, and it may
    have ended before this one began.
    """
    known = {parts(line)[0] for line in then.text.splitlines()}
    if all(address in known for address in then.own if b":" not in address):
        return []
    known = {parts(line)[0] for line in now.text.splitlines()}
    return [address + b"\t" + name for address in sorted(now.own - then.own - known) if b":" not in address]


def parts(line: bytes) -> tuple[bytes, bytes]:
    """The address of a line, and the rest as it is written behind it."""
    address, _, rest = line.partition(b"\t")
    return address, rest


def written(hostname: bytes) -> bytes:
    """A container's name as the engine writes it: with a domain, the part before it once more."""
    first, dot, _ = hostname.partition(b".")
    return hostname + b" " + first if dot else hostname


# ---------------------------------------------------------------- put back


def mend(file: int, then: Seen, hostname: bytes) -> None:
    """Raises Failed where others change the file again and again."""
    fcntl.flock(file, fcntl.LOCK_EX)
    for _ in range(TRIES):
        now = look(file)
        lost = missing(then, now, hostname)
        if lost:
            # Appended at once, as the engine does, so that neither writes over the other's line.
            gap = b"\n" if now.text and not now.text.endswith(b"\n") else b""
            os.write(file, gap + b"".join(line + b"\n" for line in lost))
        elif now.text != then.text and sorted(now.text.splitlines()) == sorted(then.text.splitlines()):
            put_in_order(file, then.text)
        else:
            return
    raise Failed(f"{HOSTS} is written by others all the time")


def put_in_order(file: int, text: bytes) -> None:
    """The same lines as they were. In place: every container that has this file has this very one."""
    fcntl.fcntl(file, fcntl.F_SETFL, 0)
    os.pwrite(file, text, 0)
    if os.fstat(file).st_size > len(text):
        os.ftruncate(file, len(text))
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)


def main() -> int:
    """0 when it is done, 1 when it could not be, 2 for wrong usage."""
    match sys.argv[1:]:
        case ["keep"]:
            word, mode = "", os.O_RDONLY
        case ["mend", word] if word:
            mode = os.O_RDWR | os.O_APPEND
        case _:
            sys.stderr.write("usage: hosts.py keep | mend KEPT\n")
            return USAGE
    try:
        file = os.open(HOSTS, mode)
        try:
            if word:
                mend(file, unpacked(word), os.fsencode(os.uname().nodename))
            else:
                sys.stdout.write(f"{packed(look(file))}\n")
        finally:
            os.close(file)
    except (Failed, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return OK


if __name__ == "__main__":
    sys.exit(main())
