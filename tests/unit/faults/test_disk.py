"""Faults of the disk: what is asked of the helper, and what is refused before it is asked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from coordinator.faults.commands import FAULT, MARK, STRESS_PROGRAM, DockerCommand
from coordinator.faults.disk import INSIDE
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
