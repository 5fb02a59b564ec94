"""By which ways abilities are tried, with a runner that is a script."""

from __future__ import annotations

import json
import platform
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.docker.abilities import from_host, try_abilities, try_network
from actors.docker.helper_image import ARCHITECTURES, HelperImage
from actors.docker.host_namespaces import HostNamespaces
from actors.docker.simulated import SimulatedEngine
from coordinator.faults.abilities import NOT_BUILT, Way
from coordinator.faults.commands import Command, Outcome
from tests.clocks import LoopClock

pytestmark = pytest.mark.anyio

HERE = f"{sys.platform}/{ARCHITECTURES.get(platform.machine(), platform.machine())}"


class Script:
    """An engine with or without the helper image, and a host; helpers and the host tell what they were asked for."""

    def __init__(self, *, image: bool = True, server: str = HERE) -> None:
        self.image = image
        self.server = server
        self.here: list[Sequence[str]] = []
        self.ran: list[Command] = []

    async def run(self, command: Command) -> Outcome:
        self.ran.append(command)
        match command.argv:
            case ("image", "inspect", *_) if self.image:
                return Outcome(exit_code=0, stdout="sha256:image\n")
            case ("version", *_):
                return Outcome(exit_code=0, stdout=f"{self.server}\n")
            case ("run", *_, what):
                return Outcome(exit_code=0, stdout=json.dumps({what: ""}))
            case _:
                return Outcome(exit_code=1, stderr="Error: No such image")

    async def run_here(self, argv: Sequence[str], deadline_s: float) -> Outcome:
        self.here.append(argv)
        return Outcome(exit_code=0, stdout=json.dumps({argv[-1]: "not on this host"}))


def host(tmp_path: Path, user: int) -> HostNamespaces:
    """Of a machine with all tools, seen by this user."""
    return HostNamespaces(
        "unix:///sock",
        SimulatedEngine(LoopClock(), random.Random(1)).facts,
        tmp_path,
        which=lambda name: name,
        user=lambda: user,
    )


def image(tmp_path: Path) -> HelperImage:
    """As a process outside any container finds it."""
    return HelperImage("mine:1", "1", tmp_path / "mountinfo")


async def test_both_ways_are_tried(tmp_path: Path) -> None:
    """Four helpers, one for each set of rights, and one network namespace of the host that is made for it."""
    script = Script()
    found = await try_abilities(script, image(tmp_path), host(tmp_path, 0))
    assert found.helper == Way(state="tried", abilities={"network": ""})
    assert found.processes == Way(state="tried", abilities={"processes": ""})
    assert found.cgroups == Way(state="tried", abilities={"cgroups": ""})
    assert found.mounts == Way(state="tried", abilities={"mounts": ""})
    assert found.host == Way(state="tried", abilities={"network": "not on this host"})
    assert len([command for command in script.ran if command.of_helper]) == 4
    assert [argv[:3] for argv in script.here] == [("unshare", "--net", "--")]


async def test_the_host_is_left_alone_where_it_may_not_be_entered(tmp_path: Path) -> None:
    """The reason is told, and nothing is run there; nor where what makes a namespace is missing."""
    script = Script()
    found = await try_abilities(script, image(tmp_path), host(tmp_path, 1000))
    assert (found.helper.state, found.host) == ("tried", Way(state="not here", why="not root"))
    bare = await from_host(script, host(tmp_path, 0), which=lambda _: None)
    assert bare == Way(state="untested", why="unshare not installed")
    assert script.here == []


async def test_no_image_is_built_to_try(tmp_path: Path) -> None:
    """One that can be built is built when a fault needs it; one that cannot is told with the reason."""
    buildable, other = Script(image=False), Script(image=False, server="linux/s390x")
    ways = [
        (await try_abilities(script, image(tmp_path), host(tmp_path, 1000))).helper for script in (buildable, other)
    ]
    assert ways[0] == Way(state="untested", why=NOT_BUILT)
    assert ways[1].state == "not here"
    assert "the engine is linux/s390x" in ways[1].why
    assert not [command for command in buildable.ran + other.ran if command.argv[0] in {"run", "import"}]


@pytest.mark.parametrize(("user", "helpers"), [(0, 0), (1000, 1)])
async def test_for_network_faults_one_way_is_tried(tmp_path: Path, user: int, helpers: int) -> None:
    """From the host where that may be entered; else by one helper: the other rights of helpers are not asked for."""
    script = Script()
    found = await try_network(script, image(tmp_path), host(tmp_path, user))
    assert len([command for command in script.ran if command.argv[0] == "run"]) == helpers
    assert (found.host.state == "tried", found.helper.state == "tried") == (not helpers, bool(helpers))
    assert found.processes == found.cgroups == found.mounts == Way(state="untested")
