"""The code that the kernel puts into every process to tell the time (the vDSO), and what of it is changed so that it
tells another. Pure: from bytes to bytes. x86-64.

Of each function that tells the time the first instruction is replaced by a jump into the room behind the image, which
nothing uses: there it asks the kernel, and adds the offset. So a thread that is in the middle of the old code goes on
in it, and only one at the first few bytes is in the way.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

FUNCTIONS = ("__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time")
MAGIC = b"tc-clock"
"""Before the stubs, followed by what tells one fault from another."""

OTHER = "the kernel's code for telling the time is of another kind"
JUMP = 5
"""Bytes of the instruction that leads away."""

NS, US = 1_000_000_000, 1_000_000
CLOCKS = 1 << 0 | 1 << 5 | 1 << 8 | 1 << 11
"""CLOCK_REALTIME, _COARSE, _ALARM and CLOCK_TAI; all others are counted from the machine's start."""

SECTION_HEADERS, SYMBOLS = 40, 11
JNE, JE, JA, JAE, JL = b"\x75", b"\x74", b"\x77", b"\x73", b"\x7c"
RETURN = b"\xc3"


class Unknown(Exception):
    """This image is none that could be changed; says why."""


class Patch(NamedTuple):
    """What stands where: the tail first, as nothing leads there yet. `places` are the entries of the functions."""

    tail: tuple[int, bytes]
    entries: tuple[tuple[int, bytes], ...]


def symbols(image: bytes) -> dict[str, tuple[int, int]]:
    """Where each function begins, and how long it is. Raises Unknown."""
    try:
        (table,) = struct.unpack_from("<Q", image, SECTION_HEADERS)
        size, count = struct.unpack_from("<HH", image, 58)
        sections = [struct.unpack_from("<IIQQQQIIQQ", image, table + number * size) for number in range(count)]
        dynamic = next(section for section in sections if section[1] == SYMBOLS)
        names = sections[dynamic[6]][4]
        found = {}
        for at in range(dynamic[4], dynamic[4] + dynamic[5], 24):
            name, _, _, _, value, length = struct.unpack_from("<IBBHQQ", image, at)
            text = image[names + name :].split(b"\0", 1)[0].decode("ascii", errors="replace")
            found[text] = (value, length)
    except (struct.error, StopIteration, IndexError):
        raise Unknown(OTHER) from None
    return found


def end(image: bytes) -> int:
    """Where the room begins that the kernel leaves empty. Raises Unknown."""
    try:
        (table,) = struct.unpack_from("<Q", image, SECTION_HEADERS)
        size, count = struct.unpack_from("<HH", image, 58)
    except struct.error:
        raise Unknown(OTHER) from None
    # The last of the headers may end with zeros.
    used: int = max(len(image.rstrip(b"\0")), table + size * count)
    return -(-used // 16) * 16


def tag(fault: str) -> bytes:
    """What stands before the stubs of this fault."""
    return MAGIC + hashlib.sha256(fault.encode()).digest()[:24]


def patch(image: bytes, fault: str, offset_ns: int) -> Patch:
    """What has to be written into a process with this image. Raises Unknown."""
    known = symbols(image)
    stubs = (clock_gettime(offset_ns), gettimeofday(offset_ns), time(offset_ns))
    start = end(image)
    tail, entries = bytearray(tag(fault)), []
    for name, stub in zip(FUNCTIONS, stubs, strict=True):
        where, length = known.get(name, (0, 0))
        if length < JUMP:
            raise Unknown(f"the kernel's code for telling the time has no {name} that could lead elsewhere")
        entries.append((where, b"\xe9" + struct.pack("<i", start + len(tail) - where - JUMP)))
        tail += stub.ljust(-(-len(stub) // 16) * 16, b"\x90")
    if start + len(tail) > len(image):
        raise Unknown(f"the kernel leaves {len(image) - start} bytes of room behind its code, {len(tail)} are needed")
    return Patch((start, bytes(tail)), tuple(entries))


def room(image: bytes) -> range:
    """What may hold stubs."""
    return range(end(image), len(image))


def same(one: bytes, image: bytes) -> bool:
    """Whether these are one but for what a patch changes. `image` is the kernel's own."""
    known = symbols(image)
    changed = bytearray(one)
    for where in (known[name][0] for name in FUNCTIONS):
        changed[where : where + JUMP] = image[where : where + JUMP]
    used = end(image)
    return len(one) == len(image) and changed[:used] == image[:used]


# ---------------------------------------------------------------- the stubs


class Leave(NamedTuple):
    """A jump to the end of the stub."""

    opcode: bytes


def assembled(*parts: bytes | Leave) -> bytes:
    """The code of a stub, which ends with a return."""
    total = sum(len(part) if isinstance(part, bytes) else 2 for part in parts)
    code = b""
    for part in parts:
        code += part if isinstance(part, bytes) else part.opcode + struct.pack("<b", total - len(code) - 2)
    return code + RETURN


def clock_gettime(offset_ns: int) -> bytes:
    """For edi, a clock, and rsi, where its time goes: two words, of seconds and nanoseconds."""
    seconds, rest = divmod(offset_ns, NS)
    return assembled(
        b"\xb8" + struct.pack("<i", 228) + b"\x0f\x05",  # mov eax, clock_gettime; syscall
        b"\x85\xc0", Leave(JNE),  # test eax, eax
        b"\x83\xff\x0b", Leave(JA),  # cmp edi, 11
        b"\xb9" + struct.pack("<i", CLOCKS) + b"\x0f\xa3\xf9", Leave(JAE),  # mov ecx, CLOCKS; bt ecx, edi
        b"\x48\xb9" + struct.pack("<q", seconds) + b"\x48\x01\x0e",  # mov rcx, seconds; add [rsi], rcx
        b"\x48\x81\x46\x08" + struct.pack("<i", rest),  # add qword [rsi+8], rest
        b"\x48\x81\x7e\x08" + struct.pack("<i", NS), Leave(JL),  # cmp qword [rsi+8], NS
        b"\x48\x81\x6e\x08" + struct.pack("<i", NS) + b"\x48\xff\x06",  # sub qword [rsi+8], NS; inc qword [rsi]
    )  # fmt: skip


def gettimeofday(offset_ns: int) -> bytes:
    """For rdi, where the time goes: two words, of seconds and microseconds; rsi is the kernel's matter."""
    seconds, rest = divmod(offset_ns // 1000, US)
    return assembled(
        b"\xb8" + struct.pack("<i", 96) + b"\x0f\x05",  # mov eax, gettimeofday; syscall
        b"\x85\xc0", Leave(JNE),  # test eax, eax
        b"\x48\x85\xff", Leave(JE),  # test rdi, rdi
        b"\x48\xb9" + struct.pack("<q", seconds) + b"\x48\x01\x0f",  # mov rcx, seconds; add [rdi], rcx
        b"\x48\x81\x47\x08" + struct.pack("<i", rest),  # add qword [rdi+8], rest
        b"\x48\x81\x7f\x08" + struct.pack("<i", US), Leave(JL),  # cmp qword [rdi+8], US
        b"\x48\x81\x6f\x08" + struct.pack("<i", US) + b"\x48\xff\x07",  # sub qword [rdi+8], US; inc qword [rdi]
    )  # fmt: skip


def time(offset_ns: int) -> bytes:
    """For rdi, where the seconds go as well; from what is more exact, so that it turns over when the others do."""
    seconds, rest = divmod(offset_ns // 1000, US)
    return assembled(
        b"\x57\x48\x83\xec\x10\x48\x89\xe7\x31\xf6",  # push rdi; sub rsp, 16; mov rdi, rsp; xor esi, esi
        b"\xb8" + struct.pack("<i", 96) + b"\x0f\x05",  # mov eax, gettimeofday; syscall
        b"\x48\x8b\x04\x24\x48\x81\x44\x24\x08" + struct.pack("<i", rest),  # mov rax, [rsp]; add qword [rsp+8], rest
        b"\x48\x81\x7c\x24\x08" + struct.pack("<i", US),  # cmp qword [rsp+8], US
        b"\x7c\x03\x48\xff\xc0",  # jl over; inc rax
        b"\x48\xb9" + struct.pack("<q", seconds) + b"\x48\x01\xc8",  # mov rcx, seconds; add rax, rcx
        b"\x48\x83\xc4\x10\x5f",  # add rsp, 16; pop rdi
        b"\x48\x85\xff", Leave(JE), b"\x48\x89\x07",  # test rdi, rdi; mov [rdi], rax
    )  # fmt: skip
