"""Whatever may be left of a fault is seen by the comparison: planted here, one after the other."""

import os
import signal
from collections.abc import Callable

import pytest

from coordinator.identity import LABEL_INSTANCE, LABEL_ROLE
from tests.torture.hand import Hand
from tests.torture.leftovers import in_namespaces, on_the_engine
from tests.torture.model import Act, Kind
from tests.torture.snapshot import differences, look
from tests.torture.stage import Stage
from tests.torture.waiting import happens

pytestmark = [pytest.mark.integration, pytest.mark.torture, pytest.mark.timeout(300)]
FAULT = "0123456789abcdef0123456789abcdef"
Doing = Callable[[Stage], object]


def end_process(stage: Stage, letter: str, argument: str) -> None:
    """End what was started in a container with this last argument."""
    ours = [row[0] for row in stage.api.top(stage.ids[letter], "-eo pid,args")["Processes"] if argument in row[1]]
    for pid in ours:
        os.kill(int(pid), signal.SIGKILL)


PLANTED: dict[str, tuple[str, Doing, Doing]] = {
    "paused": (
        "lone: engine",
        lambda stage: stage.docker("pause", stage.ids["lone"]),
        lambda stage: stage.docker("unpause", stage.ids["lone"]),
    ),
    "a limit": (
        "old: limits",
        lambda stage: stage.docker("update", "--memory", "80m", stage.ids["old"]),
        lambda stage: stage.docker("update", "--memory", "96m", stage.ids["old"]),
    ),
    "a table": (
        "api: network",
        lambda stage: stage.inside("api", "nft", f"add table inet tc_{FAULT}"),
        lambda stage: stage.inside("api", "nft", f"delete table inet tc_{FAULT}"),
    ),
    "a queueing discipline": (
        "job: network",
        lambda stage: stage.inside("job", *["tc", "qdisc", "add", "dev", "lo", "root", "handle", "7c01:", "pfifo"]),
        lambda stage: stage.inside("job", *["tc", "qdisc", "del", "dev", "lo", "root"]),
    ),
    "the loss of a person's table": (
        "own: network",
        lambda stage: stage.inside("own", "nft", "flush chain inet mine input"),
        lambda stage: stage.inside("own", "nft", "add rule inet mine input tcp dport 9 drop"),
    ),
    "a process": (
        "web: processes",
        lambda stage: stage.docker("exec", "--detach", stage.ids["web"], "sleep", "86398"),
        lambda stage: end_process(stage, "web", "86398"),
    ),
    "a file in memory": (
        "job: memory files",
        lambda stage: stage.docker("exec", stage.ids["job"], "touch", "/dev/shm/off"),
        lambda stage: stage.docker("exec", stage.ids["job"], "rm", "/dev/shm/off"),
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_left_in_a_container_is_seen(stage: Stage, planted: str) -> None:
    """The difference is told by its place, and with what was planted taken out there is none."""
    where, plant, take_out = PLANTED[planted]
    ended = frozenset({"api"})
    before = look(stage, ended)
    plant(stage)
    after = look(stage, ended)
    take_out(stage)
    assert any(line.startswith(where) for line in differences(before, after)), differences(before, after)
    ours = in_namespaces(after)
    assert bool(ours) == (planted in {"a table", "a queueing discipline"}), ours
    assert happens(lambda: not differences(before, look(stage, ended)), within_s=20.0)


def test_another_run_is_seen_unless_a_fault_ended_it(stage: Stage) -> None:
    """A container that was restarted differs; where a fault of the round may have done it, it does not."""
    strict, loose = look(stage, ()), look(stage, ("old",))
    stage.docker("restart", "--time", "0", stage.ids["old"])
    assert happens(lambda: not differences(loose, look(stage, ("old",))), within_s=20.0)
    assert any(line.startswith("old: engine: ") for line in differences(strict, look(stage, ())))


def test_what_is_left_on_the_engine_is_seen(stage: Stage) -> None:
    """A lock on a container of the stage, and a helper of the instance; not those of others."""
    lock = f"tc-{stage.ids['web']}"
    stage.docker("volume", "create", "--label", f"{LABEL_ROLE}=lock", lock)
    labels = (f"{LABEL_ROLE}=helper", f"{LABEL_INSTANCE}=me")
    image = stage.api.inspect_container(stage.ids["web"])["Image"]
    helper = stage.docker("create", *(part for label in labels for part in ("--label", label)), image)
    try:
        assert [line.split()[0] for line in on_the_engine(stage, "me")] == ["helper", "lock"]
        assert on_the_engine(stage, "another") == [f"lock {lock} left"]
    finally:
        stage.docker("rm", helper)
        stage.docker("volume", "rm", lock)
    assert on_the_engine(stage, "me") == []


def test_a_lost_network_is_seen(stage: Stage) -> None:
    """A container that is off one of its networks differs; the network's own list of ends does so too."""
    before = look(stage, ("api",))
    stage.docker("network", "disconnect", stage.networks[1], stage.ids["api"])
    places = {line.split(":")[0].split()[0] for line in differences(before, look(stage, ("api",)))}
    assert places == {"api", "network"}


@pytest.mark.parametrize("verb", ["pause", "stop", "kill", "rename"])
def test_what_a_person_leaves_is_known_before(stage: Stage, verb: str) -> None:
    """The rehearsal shows it, so that a coordinator that undoes it is caught; afterwards all is as it was."""
    hand = Hand(Act(Kind.APART, "lone", (verb,), at_s=0.0, leaves=verb), stage)
    before = look(stage, ("lone",))
    with hand.done():
        meant = look(stage, ("lone",))
    assert any(line.startswith("lone: engine: ") for line in differences(before, meant))
    hand.begin(lambda _event, _name: True)
    hand.wait()
    assert happens(lambda: not differences(meant, look(stage, ("lone",))), within_s=20.0)
    hand.close()
    assert happens(lambda: not differences(before, look(stage, ("lone",))), within_s=20.0)
