"""The helper image as a real engine has it: what faults of the network need runs inside, with one capability."""

from __future__ import annotations

from uuid import uuid4

import pytest

from actors.docker.command_runner import DockerCommandRunner
from actors.docker.helper_image import TOOLS, HelperImage
from coordinator.faults.commands import HELPER_PROGRAMS
from tests.integration.sandbox import docker

SPOKEN = f"""
import sys
sys.path.insert(0, "{HELPER_PROGRAMS}".removesuffix("/actors/docker/programs"))
from actors.docker.programs import nft_library
print(nft_library.ask(nft_library.loaded(), ["-f", "-"], "add table inet x"))
"""
pytestmark = pytest.mark.anyio


async def test_tools_and_the_emulator_run_inside(engine: str) -> None:
    """With all of its libraries: nft, tc and ip act, and the emulator finds its modules and its queue."""
    name = f"test-coordinator-helper-test:{uuid4().hex[:12]}"
    image = HelperImage(name, "0")
    runner = DockerCommandRunner(engine, lambda _: "")
    try:
        assert await image.known(runner)
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
        docker("image", "rm", "--force", name)
