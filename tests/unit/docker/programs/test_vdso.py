"""What is changed of the kernel's code for telling the time: from bytes to bytes, on an image of this test's own."""

from __future__ import annotations

import struct

import pytest

from actors.docker.programs import vdso

NAMES = (*vdso.FUNCTIONS, "__vdso_getcpu")
WHERE = dict(zip(NAMES, (0x400, 0x500, 0x600, 0x700), strict=True))


def image(size: int = 8192, **lengths: int) -> bytes:
    """An ELF file with nothing but the functions' names, places and lengths (40 bytes where none is given)."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in NAMES)
    symbols, at = b"\0" * 24, 1
    for name in NAMES:
        symbols += struct.pack("<IBBHQQ", at, 0x12, 0, 1, WHERE[name], lengths.get(name, 40))
        at += len(name) + 1
    made = bytearray(size)
    made[0x400:0x800] = b"\xcc" * 0x400
    made[0x800 : 0x800 + len(names)] = names
    made[0x900 : 0x900 + len(symbols)] = symbols
    struct.pack_into("<Q", made, 40, 0xA00)
    struct.pack_into("<HH", made, 58, 64, 3)
    struct.pack_into("<IIQQQQIIQQ", made, 0xA40, 0, vdso.SYMBOLS, 0, 0, 0x900, len(symbols), 2, 0, 0, 24)
    struct.pack_into("<IIQQQQIIQQ", made, 0xA80, 0, 3, 0, 0, 0x800, len(names), 0, 0, 0, 1)
    return bytes(made)


def applied(own: bytes, patch: vdso.Patch) -> bytes:
    """What it is afterwards."""
    made = bytearray(own)
    for where, data in (patch.tail, *patch.entries):
        made[where : where + len(data)] = data
    return bytes(made)


def test_each_function_leads_to_a_stub_behind_the_image() -> None:
    """Nothing else is changed, and what was there is known from the kernel's own image."""
    own = image()
    patch = vdso.patch(own, "f1", vdso.NS)
    at, tail = patch.tail
    assert own[at : at + len(tail)] == bytes(len(tail))
    assert tail.startswith(vdso.tag("f1"))
    assert vdso.tag("f1") != vdso.tag("f2")
    for (where, jump), name in zip(patch.entries, vdso.FUNCTIONS, strict=True):
        assert where == WHERE[name]
        target = where + vdso.JUMP + struct.unpack("<i", jump[1:])[0]
        assert jump[:1] == b"\xe9"
        assert at + len(vdso.tag("f1")) <= target < at + len(tail)
    changed = applied(own, patch)
    assert vdso.same(changed, own)
    assert not vdso.same(changed[:0x700] + b"\x90" + changed[0x701:], own)


@pytest.mark.parametrize("offset_ns", [1, -1, 123_456_789_012_345, -vdso.NS // 2])
def test_stubs_of_all_offsets_are_of_one_length(offset_ns: int) -> None:
    """So that one may take another's place under a thread that is in the middle of it."""
    for stub in (vdso.clock_gettime, vdso.gettimeofday, vdso.time):
        assert len(stub(offset_ns)) == len(stub(0))
        assert stub(offset_ns).endswith(vdso.RETURN)


def test_headers_that_end_with_zeros_are_no_room() -> None:
    """As in some kernels: the table of sections is the last thing in the image."""
    own = image(__vdso_getcpu=0)
    assert own.rstrip(b"\0") != own[: 0xA00 + 3 * 64]
    assert vdso.end(own) == 0xA00 + 3 * 64


def test_images_that_cannot_be_changed_are_refused() -> None:
    """Another kind of file, a function that is missing or too short, no room behind it."""
    with pytest.raises(vdso.Unknown, match="of another kind"):
        vdso.patch(bytes(4096), "f1", 1)
    with pytest.raises(vdso.Unknown, match="no __vdso_time that could lead elsewhere"):
        vdso.patch(image(__vdso_time=4), "f1", 1)
    with pytest.raises(vdso.Unknown, match="bytes of room behind its code, 256 are needed"):
        vdso.patch(image(0xB00), "f1", 1)
