"""Limits while they are on: what somebody else makes of them, and what is killed meanwhile, is told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.docker.programs import limits, running
from actors.docker.programs.limits_held import KILLED, SET_ANEW, Keeper
from tests.unit.docker.programs.pretended_cgroup import ID, files, pretended_cgroup

cgroup = pytest.fixture(params=[False, True], ids=["v1", "v2"])(pretended_cgroup)


class Asked:
    """A Keeper that is asked, and what it answers and tells."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str]] = []
        self._told: list[str] = []
        self.keeper = Keeper(
            lambda _, error, out: self.answers.append((error, out)),
            lambda event, container, text: self._told.append(f"{event} {text}"),
        )

    def ask(self, *argv: str) -> tuple[str, str]:
        """The answer: what went wrong, and what is said."""
        self.keeper.ask(1, list(argv))
        return self.answers[-1]

    def told(self) -> list[str]:
        """By the next look."""
        self._told.clear()
        self.keeper.look()
        return list(self._told)


@pytest.fixture
def asked() -> Asked:
    return Asked()


def by_somebody(kind: str, name: str, text: str) -> None:
    """Write a file of the container's cgroup."""
    where = limits.group(ID, kind)
    assert where is not None
    where.write(name, text)


def killed(cgroup: Path, times: int) -> None:
    """So many by the kernel, as it counts them; a process is in the cgroup."""
    (folder,) = {path.parent for path in cgroup.rglob("memory.*")}
    name = "memory.events" if (folder / "memory.max").exists() else "memory.oom_control"
    (folder / name).write_text(f"oom_kill {times}")
    # Version 2 has it in the one that the container's init has made.
    for joined in [folder / "init.scope"] if name == "memory.events" else list(cgroup.rglob(f"*{ID}*")):
        joined.mkdir(exist_ok=True)
        (joined / "cgroup.procs").write_text("1\n")


def test_what_is_changed_is_told_once_and_left(cgroup: Path, asked: Asked) -> None:
    """The fault is over then: no other helper puts it, and its undo leaves theirs."""
    assert asked.ask("put", "f1", "pids", "2", "end", "m", ID) == ("", "")
    assert asked.told() == []
    by_somebody("pids", "pids.max", "77")
    assert asked.told() == ["lost pids.max was set to 77 by somebody else", "over f1"]
    assert asked.told() == []
    assert asked.ask("remove", "f1", ID) == ("", "left as it is: pids.max was set to 77 by somebody else")
    assert files(cgroup)["pids.max"] == "77"


def test_what_is_changed_is_set_anew_where_that_is_wanted(cgroup: Path, asked: Asked) -> None:
    """Not again before long, as whoever changes it again means it; what is set back in the end is theirs."""
    asked.ask("put", "f1", "pids", "2", "reapply", "m", ID)
    by_somebody("pids", "pids.max", "77")
    assert asked.told() == ["lost pids.max was set to 77 by somebody else", f"remade {SET_ANEW}"]
    assert files(cgroup)["pids.max"] == "5"
    by_somebody("pids", "pids.max", "78")
    assert asked.told() == ["lost pids.max was set to 78 by somebody else"]
    (kept,) = asked.keeper.kept
    kept.again_at = 0.0
    assert asked.told() == [f"remade {SET_ANEW}"]
    assert asked.ask("remove", "f1", ID) == ("", "")
    assert files(cgroup)["pids.max"] == "78"


def test_a_stricter_limit_of_somebody_elses_stays(cgroup: Path, asked: Asked) -> None:
    """It cannot be set anew: told once."""
    asked.ask("put", "f1", "pids", "2", "reapply", "m", ID)
    by_somebody("pids", "pids.max", "4")
    lost, failed = asked.told()
    assert lost == "lost pids.max was set to 4 by somebody else"
    assert failed.startswith("not_remade it is limited to 4 processes as it is")
    for kept in asked.keeper.kept:
        kept.again_at = 0.0
    assert asked.told() == []
    assert files(cgroup)["pids.max"] == "4"


def test_a_run_that_is_over_is_forgotten(cgroup: Path, asked: Asked) -> None:
    """The next has a cgroup of the same name, with what it was made with: nobody has changed anything."""
    asked.ask("put", "f1", "cpu", "0.1", "end", "m", ID)
    where = limits.group(ID, "cpu")
    assert where is not None
    where.forget("cpu")
    by_somebody("cpu", *(("cpu.max", "max 100000") if where.unified else ("cpu.cfs_quota_us", "-1")))
    assert asked.told() == ["over f1"]
    assert cgroup.exists()


def test_what_is_killed_under_a_memory_limit_is_told(
    cgroup: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the put on; whoever holds stressors tells of them."""
    killed(cgroup, 3)
    asked.ask("put", "f1", "memory", "67108864", "end", "m", ID)
    assert asked.told() == []
    killed(cgroup, 4)
    assert asked.told() == [f"out_of_memory {KILLED}"]
    killed(cgroup, 6)
    assert asked.told() == [f"out_of_memory {KILLED} (2 times)"]
    monkeypatch.setattr(running, "asked", lambda pid: running.Asked("f2", "m", ID))
    asked.ask("remove", "f1", ID)
    asked.ask("put", "f1", "memory", "67108864", "end", "m", ID)
    assert asked.told() == []
    killed(cgroup, 7)
    assert asked.told() == []


def test_what_cannot_be_done_is_answered(cgroup: Path, asked: Asked) -> None:
    """And is not looked after."""
    error, _ = asked.ask("put", "f1", "pids", "2", "end", "m", "f" * 64)
    assert error.startswith("ffffffffffff: no process of this container is seen from here: it is down")
    error, _ = asked.ask("put", "f1", "pids", "2", "sometimes", "m", ID)
    assert error.endswith("is due")
    assert asked.keeper.kept == []
    assert cgroup.exists()
