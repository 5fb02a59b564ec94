"""The program that sets limits, on folders that look like cgroups: what it writes, keeps and sets back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.docker.programs import limits
from tests.unit.docker.programs.pretended_cgroup import ID, files, pretended_cgroup

cgroup = pytest.fixture(params=[False, True], ids=["v1", "v2"])(pretended_cgroup)


def alike(found: dict[str, str], before: dict[str, str]) -> bool:
    """Whether all values are those; what is unlimited is written in two ways."""
    return found.keys() == before.keys() and all(limits.same(found[name], before[name]) for name in before)


def test_each_limit_is_set_and_set_back(cgroup: Path) -> None:
    """All three side by side, undone in any order and twice: every file as before."""
    before = files(cgroup)
    limits.put("f1", "cpu", "0.2", ID)
    limits.put("f2", "memory", "67108900", ID)
    limits.put("f3", "pids", "2", ID)
    changed = {name: text for name, text in files(cgroup).items() if text != before[name]}
    v1 = {"cpu.cfs_quota_us": "20000", "memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"}
    v2 = {"cpu.max": "20000 100000", "memory.max": "67108864", "memory.swap.max": "0"}
    assert changed == {**(v2 if "cpu.max" in before else v1), "pids.max": "5"}
    for fault in ("f2", "f1", "f3", "f2"):
        limits.remove(fault, ID)
    assert alike(files(cgroup), before)


def test_one_limit_of_a_kind_at_a_time(cgroup: Path) -> None:
    """A second fault is refused, and its undo, which is run all the same, takes nothing from the first."""
    limits.put("f1", "cpu", "0.2", ID)
    during = files(cgroup)
    with pytest.raises(limits.Failed, match="another fault"):
        limits.put("f2", "cpu", "0.1", ID)
    limits.remove("f2", ID)
    assert files(cgroup) == during


def test_what_is_no_lower_is_refused(cgroup: Path) -> None:
    """A fault never gives more than there was; nothing is written or kept."""
    for fault, kind, value in (("f1", "cpu", "0.2"), ("f2", "memory", "67108864"), ("f3", "pids", "2")):
        limits.put(fault, kind, value, ID)
    for kind in limits.KINDS:
        where = limits.group(ID, kind)
        assert where is not None
        where.forget(kind)
    during = files(cgroup)
    for kind, value in (("cpu", "0.5"), ("memory", "77108864"), ("pids", "2")):
        with pytest.raises(limits.Failed, match="as it is"):
            limits.put("f4", kind, value, ID)
    assert files(cgroup) == during


def test_what_somebody_else_has_written_since_is_left(cgroup: Path) -> None:
    """The undo is done, and the other's value stays."""
    limits.put("f1", "pids", "2", ID)
    where = limits.group(ID, "pids")
    assert where is not None
    where.write("pids.max", "77")
    assert limits.remove("f1", ID) == f"{limits.LEFT}pids.max was set to 77 by somebody else"
    assert files(cgroup)["pids.max"] == "77"
    assert where.record("pids") is None
    assert limits.remove("f1", ID) == ""


def test_put_once_more_it_is_set_anew(cgroup: Path) -> None:
    """Where it is what it was set to, nothing is done. Where somebody else has changed it, theirs is what is set back,
    and never less than what is asked for.
    """
    limits.put("f1", "memory", "67108864", ID)
    during = files(cgroup)
    where = limits.put("f1", "memory", "67108864", ID)
    assert files(cgroup) == during
    main = "memory.max" if "memory.max" in during else "memory.limit_in_bytes"
    where.write(main, "134217728")
    with pytest.raises(limits.Failed, match=f"{main} was set to 134217728 by somebody else"):
        limits.put("f1", "memory", "67108864", ID)
    limits.put("f1", "memory", "67108864", ID, anew=True)
    assert files(cgroup) == during
    limits.remove("f1", ID)
    assert files(cgroup)[main] == "134217728"

    limits.put("f1", "memory", "67108864", ID)
    where.write(main, "33554432")
    with pytest.raises(limits.Failed, match="33554432 bytes as it is"):
        limits.put("f1", "memory", "67108864", ID, anew=True)
    assert limits.remove("f1", ID) == f"{limits.LEFT}{main} was set to 33554432 by somebody else"


def test_what_limits_nothing_is_refused(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as the machine has is no limit where there is none; a share of nothing else is of the machine."""
    before = files(cgroup)
    cpus, pages = len(os.sched_getaffinity(0)), os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(limits, "PID_MAX", str(cgroup / "pid_max"))
    (cgroup / "pid_max").write_text("32768")
    too_much = [("cpu", str(cpus), "CPUs to run on"), ("memory", str(pages * limits.PAGE), "this machine has")]
    for kind, value, says in [*too_much, ("pids", "32768", "this machine has at most 32768")]:
        with pytest.raises(limits.Failed, match=f"{says}.*would limit nothing"):
            limits.put("f1", kind, value, ID)
    with pytest.raises(limits.Failed, match="at least 6291456 are due"):
        limits.put("f1", "memory", "0.0001%", ID)
    (cgroup / "pid_max").unlink()
    assert files(cgroup) == before

    limits.put("f1", "memory", "50%", ID)
    main = "memory.max" if "memory.max" in before else "memory.limit_in_bytes"
    assert files(cgroup)[main] == str(pages * limits.PAGE // 2 // limits.PAGE * limits.PAGE)


def test_whoever_knows_no_fault_sets_all_back(cgroup: Path) -> None:
    """Of whichever faults."""
    before = files(cgroup)
    limits.put("f1", "pids", "2", ID)
    limits.put("f2", "cpu", "0.1", ID)
    limits.remove("all", ID)
    assert files(cgroup) == before


def test_a_container_that_is_gone_owes_nothing(cgroup: Path) -> None:
    """Its cgroup went with it; to put is an error that says what is missing."""
    other = "f" * 64
    limits.remove("f1", other)
    with pytest.raises(limits.Failed, match="no process of this container"):
        limits.put("f1", "cpu", "0.1", other)
    assert files(cgroup)
