"""The helper image as a real engine has it: what faults of the network need runs inside, with one capability."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from uuid import uuid4

import pytest

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.helper_image import TOOLS, HelperImage
from coordinator.faults.commands import HELPER_PROGRAMS
from tests.integration.sandbox import docker

OURS = {"test-coordinator.image": "helper"}
SPOKEN = f"""
import sys
sys.path.insert(0, "{HELPER_PROGRAMS}".removesuffix("/actors/docker/programs"))
from actors.docker.programs import nft_library
print(nft_library.ask(nft_library.loaded(), ["-f", "-"], "add table inet x"))
"""
pytestmark = pytest.mark.anyio


def old_image(folder: Path, **labels: str) -> str:
    """The id of an image without a name, many years old."""
    (folder / "layer.tar").write_bytes(bytes(1024))
    layer = f"sha256:{hashlib.sha256((folder / 'layer.tar').read_bytes()).hexdigest()}"
    image = {"architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
             "config": {"Labels": {"test-coordinator.sandbox": uuid4().hex, **labels}},
             "rootfs": {"type": "layers", "diff_ids": [layer]}}  # fmt: skip
    (folder / "image.json").write_text(json.dumps(image))
    (folder / "manifest.json").write_text(json.dumps([{"Config": "image.json", "Layers": ["layer.tar"]}]))
    with tarfile.open(folder / "image.tar", "w") as tar:
        for name in ("layer.tar", "image.json", "manifest.json"):
            tar.add(folder / name, name)
    return docker("load", "--quiet", "--input", str(folder / "image.tar")).rpartition(" ")[2]


async def test_tools_and_the_emulator_run_inside(engine: str, tmp_path: Path) -> None:
    """With all of its libraries: nft, tc and ip act, and the emulator finds its modules and its queue. Of the images of
    helpers that were built before and have no name any more, none that is used is taken away, nor anybody else's.
    """
    name = f"test-coordinator-helper-test:{uuid4().hex[:12]}"
    image = HelperImage(name, "0")
    runner = DockerCommandRunner(engine, lambda _: "")
    unused, used, others = (old_image(tmp_path, **labels) for labels in (OURS, OURS, {}))
    user = docker("create", "--label", "test-coordinator.sandbox", used, "true")
    try:
        assert await image.known(runner)
        there = docker("image", "ls", "--quiet", "--no-trunc", "--filter", "dangling=true").split()
        assert (unused in there, used in there, others in there) == (False, True, True)
        assert await image.lacks(runner) == ""
        bare = ("run", "--rm", "--pull", "never", "--network", "none", "--read-only", "--cap-drop", "ALL",
                "--cap-add", "NET_ADMIN", "--label", "test-coordinator.sandbox", "--entrypoint")  # fmt: skip
        asks = {"ip": ["link", "show", "lo"], "nft": ["add", "table", "inet", "x"], "tc": ["qdisc", "show"]}
        for tool in TOOLS:
            docker(*bare, tool, name, *asks[tool])
        started = docker(*bare, "python3", name, "-I", "-S", f"{HELPER_PROGRAMS}/emulator.py")
        assert started.strip() == '{"ready": true, "queue": 31744}'
        spoken = docker(*bare, "python3", name, "-I", "-S", "-c", SPOKEN)
        assert spoken == "(0, '', '')", "nft's library is in it, so that no program has to be started"
    finally:
        docker("rm", user)
        docker("image", "rm", "--force", name, used, others)
