"""Faults of the disk: what is asked of the helper, and what is refused before it is asked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from coordinator.faults.commands import FAULT, MARK, STRESS_PROGRAM, DockerCommand
from coordinator.faults.disk import FILL_PROGRAM, INSIDE, filled_folder
from coordinator.faults.facts import ContainerFacts, ContainerState, Mount
from coordinator.faults.looks import need
from coordinator.faults.model import TargetPlan
from coordinator.faults.needs import Need
from tests.unit.faults.test_limits import container, fault


@pytest.mark.parametrize(
    ("fields", "asked"),
    [({}, "1x/"), ({"workers": "3", "path": "/var/lib/my data"}, "3x/var/lib/my data")],
)
def test_a_disk_is_kept_busy_by_stressors_with_the_way_in(fields: dict[str, object], asked: str) -> None:
    """In the place of their own that the undo is asked in as well; no more rights than it takes."""
    (target,) = fault(type="disk_io_stress", **fields).plan([container()]).filled({FAULT: "f-1", MARK: "m"}).targets
    assert target.inject.inside == ("put", "f-1", "disk", asked, "m", "c" * 64)
    assert target.undo is not None
    assert isinstance(target.inject, DockerCommand)
    assert isinstance(target.undo.command, DockerCommand)
    assert target.undo.command.inside == ("remove", "f-1", "c" * 64)
    assert target.inject.place == target.undo.command.place == " ".join(["cgroups", *sorted(INSIDE)])
    assert target.inject.held("h").inside == ("hold",)
    assert STRESS_PROGRAM in target.inject.argv
    plain = fault(type="cpu_stress").plan([container()]).targets[0].inject
    assert isinstance(plain, DockerCommand)
    assert plain.place == "cgroups"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"path": "data"}, "begins with /"),
        ({"path": ""}, "begins with /"),
        ({"path": "/a\nb"}, "begins with /"),
        ({"path": "/" + "a" * 2000}, "at most 1024 characters"),
        ({"workers": "0"}, "greater than or equal to 1"),
        ({"workers": "65"}, "less than or equal to 64"),
        ({"size": "1m"}, "Extra inputs"),
    ],
)
def test_what_is_no_load_of_a_disk_is_refused(fields: dict[str, object], says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValidationError, match=says):
        fault(type="disk_io_stress", **fields)


LAYER = "/var/lib/docker/overlay2/f00/diff"
VOLUME = Mount(path="/data", source="/var/lib/docker/volumes/shop/_data")


def filled(container: ContainerFacts, **fields: object) -> TargetPlan:
    """The plan of a disk_fill for one container, with an id."""
    spec = fault(type="disk_fill", **({"size": "64m"} | fields))
    (target,) = spec.plan([container]).filled({FAULT: "f-1", MARK: "m"}).targets
    return target


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"size": "64m", "path": "/data"}, ("67108864", "67108864", "/data")),
        ({"size": None, "percent": "95%"}, ("95%", str(4 << 30), "/")),
        ({"size": None, "percent": "12.5%", "cap": "1g"}, ("12.5%", str(1 << 30), "/")),
        ({"size": "95%"}, ("95%", str(4 << 30), "/")),
        ({"size": "12.5 %", "cap": "1g"}, ("12.5%", str(1 << 30), "/")),
    ],
)
def test_a_helper_fills_it_up_to_a_cap(fields: dict[str, object], asked: tuple[str, ...]) -> None:
    """From inside; a size is its own cap, and a share has one in any case."""
    target = filled(container(), **fields)
    assert isinstance(target.inject, DockerCommand)
    assert target.inject.argv[target.inject.argv.index(FILL_PROGRAM) + 1 :] == ("put", "f-1", *asked, "m", "c" * 64)
    assert "--privileged" not in target.inject.argv
    assert target.inject.place == ""


@pytest.mark.parametrize(
    ("path", "layer", "mounts", "within", "outlives"),
    [
        ("/srv/x", LAYER, (), f"{LAYER}/./srv/x", False),
        ("/", LAYER, (VOLUME,), f"{LAYER}/./", False),
        ("/data/x", LAYER, (VOLUME,), f"{VOLUME.source}/./x", True),
        ("/data", LAYER, (VOLUME,), f"{VOLUME.source}/./", True),
        ("/database", LAYER, (VOLUME,), f"{LAYER}/./database", False),
        ("/data/in/x", LAYER, (VOLUME, Mount(path="/data/in", source="/srv/in")), "/srv/in/./x", True),
        ("/odd", LAYER, (Mount(path="/odd"),), "?", False),
        ("/memory/x", LAYER, (Mount(path="/memory", in_memory=True),), "tmpfs", False),
        (
            "/memory/v/x",
            LAYER,
            (Mount(path="/memory", in_memory=True), Mount(path="/memory/v", source="/v")),
            "/v/./x",
            True,
        ),
        ("/srv", "", (), "?", False),
        ("/srv/x", LAYER, (Mount(path="/srv", source='/a,"b'),), '/a,"b/./x', True),
    ],
)
def test_the_undo_knows_the_way_when_the_container_is_down(
    path: str, layer: str, mounts: tuple[Mount, ...], within: str, *, outlives: bool
) -> None:
    """To its layer, or to the volume or folder that is nearest, none of which has to be there still for the helper to
    start; owed in every state, and without the container where that outlives it.
    """
    target = filled(container().model_copy(update={"layer": layer, "mounts": mounts}), path=path)
    assert target.undo is not None
    assert isinstance(target.undo.command, DockerCommand)
    argv = target.undo.command.argv
    assert argv[argv.index(FILL_PROGRAM) + 1 :] == ("remove", "f-1", within, path, "c" * 64)
    assert [argv[at + 1] for at, part in enumerate(argv) if part in {"--mount", "--volume"}] == [
        "/sys/fs/cgroup:/host-cgroup"
    ]
    assert set(target.undo.needed_in) == set(ContainerState)
    assert need(target.undo, None, attempted=False) is (Need.NEEDED if outlives else Need.GONE)
    assert filled_folder(argv) == path


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"size": None}, "size or percent: one of them is due"),
        ({"percent": "5%"}, "size or percent: one of them is due"),
        ({"cap": "1g"}, "cap with percent alone"),
        ({"size": "1k"}, "at least 4k"),
        ({"size": "64"}, "did you mean 64m"),
        ({"size": None, "percent": "0%"}, "greater than 0"),
        ({"size": None, "percent": "101%"}, "from 0% to 100%"),
        ({"path": "/a/../../etc"}, "without .."),
        ({"path": "/.."}, "without .."),
        ({"path": "a"}, "begins with /"),
    ],
)
def test_what_cannot_be_filled_is_refused(fields: dict[str, object], says: str) -> None:
    """With what is allowed."""
    with pytest.raises(ValidationError, match=says):
        filled(container(), **fields)


def test_what_does_not_run_is_not_filled() -> None:
    """It is named with its state."""
    plan = fault(type="disk_fill", size="1m").plan([container("exited")])
    assert (plan.targets, plan.untouched[0].why) == ((), "is exited, not running: left alone")
