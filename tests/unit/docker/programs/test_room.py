"""How much may be taken, and of what."""

from __future__ import annotations

import pytest

from actors.docker.programs.limits import Failed
from actors.docker.programs.room import RESERVE_LEAST, Room, wanted, whose

GIB = 1 << 30
INSIDE = """\
600 500 0:50 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u
601 600 0:60 / /dev/shm rw - tmpfs shm rw
602 600 0:61 / /memory rw - tmpfs tmpfs rw
603 600 254:0 /var/lib/docker/volumes/shop/_data /plain rw - ext4 /dev/vda rw
604 600 7:0 / /loop rw - ext4 /dev/loop0 rw
605 600 8:1 / /disk rw - ext4 /dev/sda1 rw
606 600 0:62 / /run rw - tmpfs tmpfs rw
607 600 9:9 / /only-here rw shared:1 - xfs /dev/x rw
"""
HOST = """\
20 1 254:0 / / rw - ext4 /dev/vda rw
21 20 0:60 / /var/lib/docker/containers/c0ffee/mounts/shm rw - tmpfs shm rw
22 20 7:0 / /var/lib/docker/volumes/small/_data rw - ext4 /dev/loop0 rw
23 20 8:1 / /srv rw - ext4 /dev/sda1 rw
24 20 8:1 / /var/lib/docker/volumes/srv/_data rw - ext4 /dev/sda1 rw
25 20 0:62 / /run rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ("600", "host"), ("601", "memory"), ("602", "memory"), ("603", "host"), ("604", "own"), ("605", "host"),
        ("606", "host"), ("607", "own"), ("999", "host"),
    ],
)  # fmt: skip
def test_whose_a_file_system_is(mount: str, expected: str) -> None:
    """The host's where it uses it anywhere else, or where nobody can tell."""
    assert whose(mount, INSIDE, HOST) == expected


@pytest.mark.parametrize(
    ("value", "room", "size"),
    [
        ("4096", Room("own", 0, 4096), 4096),
        ("100%", Room("own", 100, 900), 900),
        ("95%", Room("memory", 500, 500), 450),
        (str(GIB), Room("host", 0, 10 * GIB), GIB),
    ],
)
def test_what_may_be_taken(value: str, room: Room, size: int) -> None:
    """Of a disk of its own all; a share is what is used in the end."""
    assert wanted(value, 1 << 40, room, 1 << 40) == size


@pytest.mark.parametrize(
    ("value", "cap", "room", "why"),
    [
        ("50%", 10, Room("own", 0, 100), "50% would take 50 bytes, more than its cap of 10"),
        ("101", 200, Room("own", 0, 100), "101 bytes are more than is free there: 100"),
        ("50%", 200, Room("own", 60, 40), "60.0 % are used as it is"),
        ("950", 1000, Room("memory", 0, 1000), "950 bytes of memory are more than this host can spare: 900"),
        (str(GIB), GIB, Room("host", 0, 2 * GIB - 1), f"which must keep {RESERVE_LEAST}"),
        (str(95 * GIB + 1), 99 * GIB, Room("host", 0, 100 * GIB), f"which must keep {5 * GIB}"),
    ],
)
def test_what_may_not_be_taken(value: str, cap: int, room: Room, why: str) -> None:
    """With the figures; of a disk that the host lives on a share stays, and so many bytes at least."""
    with pytest.raises(Failed, match=why):
        wanted(value, cap, room, 1000)
