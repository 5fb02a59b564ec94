"""Which image helpers run, asked of an engine that is written down as a table of answers."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from actors.docker import helper_image
from actors.docker.helper_image import ARCHITECTURES, HelperImage, _write_root, fingerprint, tools
from coordinator.errors import AbilityMissing
from coordinator.faults.commands import HELPER_PROGRAMS, LABEL_PROGRAMS, Command, Outcome
from tests.conftest import ROOT

pytestmark = pytest.mark.anyio

ALL_TOOLS = "ip+nft+tc"
HERE = f"{sys.platform}/{ARCHITECTURES.get(platform.machine(), platform.machine())}"
OWN = "ab" * 32
MOUNT = f"1052 1034 254:0 /lib/docker/containers/{OWN}/hostname /etc/hostname rw,relatime - ext4 /dev/vda rw\n"


class Table:
    """Images and containers by name, with what their inspect prints; an import makes an image."""

    def __init__(self, there: dict[str, str], server: str = HERE) -> None:
        self.there = there
        self.server = server
        self.imported: list[str] = []
        self.cleared: list[tuple[str, ...]] = []

    async def run(self, command: Command) -> Outcome:
        match command.argv:
            case ("version", *_):
                return Outcome(exit_code=0, stdout=f"{self.server}\n")
            case (_, "inspect", _, _, name) if name in self.there:
                return Outcome(exit_code=0, stdout=f"{self.there[name]}\n")
            case ("import", *_, name):
                self.imported.append(name)
                self.there[name] = f"sha256:built {fingerprint()} {ALL_TOOLS}"
                return Outcome(exit_code=0, stdout="sha256:built\n")
            case ("image", "prune", *_):
                self.cleared.append(command.argv)
                return Outcome(exit_code=1, stderr="Error: a prune operation is already running")
            case _:
                return Outcome(exit_code=1, stderr="Error: No such object")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """The mounts of a process on a host that has containers."""
    path = tmp_path / "mountinfo"
    path.write_text(f"55 42 0:50 / /var/lib/docker/containers/{OWN}/mounts/shm rw - tmpfs shm rw\n")
    return path


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The mounts of a process in a container."""
    path = tmp_path / "mountinfo"
    path.write_text(MOUNT)
    return path


async def test_in_a_container_it_is_the_own_image(inside: Path) -> None:
    """The container this process runs in tells its image, whatever else is there."""
    table = Table({OWN: "sha256:own", "test-coordinator:1.0": f"sha256:full {fingerprint()}"})
    assert await HelperImage("", "1.0", inside).known(table) == "sha256:own"


async def test_in_a_container_of_another_engine_it_is_found_as_outside(inside: Path) -> None:
    """An engine that does not know this container has the image under its name."""
    table = Table({"test-coordinator:1.0": f"sha256:full {fingerprint()}"})
    assert await HelperImage("", "1.0", inside).known(table) == "sha256:full"


async def test_outside_it_is_the_coordinators_image_of_this_very_version(outside: Path) -> None:
    """With other programs inside it is another version whatever its name, and one is built beside it."""
    same = Table({OWN: "sha256:other", "test-coordinator:1.0": f"sha256:full {fingerprint()}"})
    assert await HelperImage("", "1.0", outside).known(same) == "sha256:full"
    assert same.imported == []

    for label in ("", "0" * 12):
        stale = Table({"test-coordinator:1.0": f"sha256:full {label}"})
        assert await HelperImage("", "1.0", outside).known(stale) == "sha256:built"
        assert stale.imported == ["test-coordinator:1.0-helper"]


async def test_it_is_built_once_and_again_when_removed(outside: Path) -> None:
    """Asked again it is only looked up; `ready` finds out that somebody removed it, `known` does not ask."""
    table, image = Table({}), HelperImage("", "1.0", outside)
    assert await image.known(table) == "sha256:built"
    assert await image.ready(table) == "sha256:built"
    assert len(table.imported) == 1
    table.there.clear()
    await image.known(table)
    assert len(table.imported) == 1
    await image.ready(table)
    assert len(table.imported) == 2


async def test_what_bore_the_name_before_is_cleared_away_quietly(outside: Path) -> None:
    """Once, after a build: helpers' images alone, that nothing names and nothing uses, and no young ones; an engine
    that will not has no say in it.
    """
    table, image = Table({}), HelperImage("", "1.0", outside)
    assert await image.known(table) == "sha256:built"
    await image.ready(table)
    assert table.cleared == [
        ("image", "prune", "--force", "--filter", "label=test-coordinator.image=helper", "--filter", "until=1h")
    ]
    there = Table({"test-coordinator:1.0": f"sha256:full {fingerprint()}"})
    await HelperImage("", "1.0", outside).ready(there)
    assert there.cleared == []


async def test_a_name_that_was_given_is_taken_as_it_is(inside: Path) -> None:
    """HELPER_IMAGE wins over all; where it is missing it is built under that very name."""
    table = Table({OWN: "sha256:own", "mine:1": "sha256:mine"})
    assert await HelperImage("mine:1", "1.0", inside).known(table) == "sha256:mine"
    assert await HelperImage("mine:2", "1.0", inside).known(table) == "sha256:built"
    assert table.imported == ["mine:2"]


async def test_another_machines_engine_cannot_run_this_python(outside: Path) -> None:
    """The reason is one line with the way out; looking for trouble builds nothing."""
    table, image = Table({}, server="linux/s390x"), HelperImage("", "1.0", outside)
    trouble = await image.trouble(table)
    assert f"the engine is linux/s390x, this is {HERE}" in trouble
    assert "HELPER_IMAGE" in trouble
    with pytest.raises(AbilityMissing, match="s390x"):
        await image.known(table)
    assert table.imported == []
    assert await HelperImage("", "1.0", outside).trouble(Table({})) == ""


async def test_a_full_disk_is_an_image_that_is_missing(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which whoever undoes can tell, and goes on with the rest."""

    def full(target: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", target)

    monkeypatch.setattr(helper_image, "_write_root", full)
    with pytest.raises(AbilityMissing, match=r"could not be written here: No space left on device: /.*helper-.*tar"):
        await HelperImage("", "1.0", mounts=outside).known(Table({}))


async def test_what_was_built_before_a_tool_was_there_is_built_anew(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that lacks what this machine has is not taken; one that has more is."""
    monkeypatch.setattr(helper_image, "tools", lambda: dict.fromkeys(("ip", "nft"), helper_image.EXECUTABLE))
    older = Table({"test-coordinator:1.0-helper": f"sha256:older {fingerprint()} ip"})
    assert await HelperImage("", "1.0", outside).known(older) == "sha256:built"
    newer = Table({"test-coordinator:1.0-helper": f"sha256:newer {fingerprint()} {ALL_TOOLS}"})
    assert await HelperImage("", "1.0", outside).known(newer) == "sha256:newer"


async def test_missing_tools_are_named_with_their_packages(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is built by this machine's tools, afterwards by the image's label; another's is taken as it is."""
    monkeypatch.setattr(helper_image, "tools", dict)
    lacks = await HelperImage("", "1.0", outside).lacks(Table({}))
    assert "no ip, nft, tc, so" in lacks
    assert "install iproute2 nftables on this machine" in lacks
    built = {"test-coordinator:1.0-helper": f"sha256:b {fingerprint()} ip+tc", "sha256:b": "ip+tc"}
    assert "no nft, so" in await HelperImage("", "1.0", outside).lacks(Table(built))
    assert await HelperImage("mine:1", "1.0", outside).lacks(Table({"mine:1": "sha256:m", "sha256:m": ""})) == ""


def test_the_root_holds_the_interpreter_and_the_programs(tmp_path: Path) -> None:
    """Programs at their place, an interpreter on PATH, no certificate, key or site package of this machine."""
    _write_root(str(tmp_path / "root.tar"))
    with tarfile.open(tmp_path / "root.tar") as tar:
        names = tar.getnames()
    assert f"{HELPER_PROGRAMS}/crash.py".lstrip("/") in names
    assert "usr/bin/python3" in names
    assert {f"usr/sbin/{tool}" for tool in tools()} <= set(names)
    assert not [name for name in names if "site-packages" in name or name.endswith((".pem", ".crt", ".key"))]


def test_both_builders_label_alike() -> None:
    """The coordinator's image is known by the hash that its builder puts on it, and has the programs in their place."""
    builder = (ROOT / "tools" / "image.py").read_text()
    assert f'"{LABEL_PROGRAMS}"' in builder
    program = "import image; print(image.programs())"

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "tools", check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == fingerprint()
    assert f"COPY actors/docker/programs/*.py {HELPER_PROGRAMS}/" in (ROOT / "Dockerfile").read_text()


async def test_a_person_is_told_the_image_as_it_is_set_or_found(outside: Path) -> None:
    """The setting as it stands, without a look; else the id of what is there; nothing where nothing is, and nothing
    is built for it.
    """
    table = Table({})
    assert await HelperImage("blue:1", "1.0", outside).reference(table) == "blue:1"
    assert await HelperImage("", "1.0", outside).reference(table) == ""
    assert table.imported == []
    built = HelperImage("", "1.0", outside)
    await built.known(table)
    assert await built.reference(table) == "sha256:built"
    assert await HelperImage("", "1.0", outside).reference(table) == "sha256:built"
