"""What was tried, read and judged."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest

from coordinator.faults.abilities import (
    ABILITIES_PROGRAM,
    DEADLINE_S,
    NOT_BUILT,
    OTHER_VERSION,
    Abilities,
    Way,
    attempts,
    status,
    tried,
)
from coordinator.faults.attachments import NetworkDisconnect
from coordinator.faults.blackhole import NetworkBlackhole
from coordinator.faults.catalogue import KINDS
from coordinator.faults.commands import Outcome, in_namespace
from coordinator.faults.disk import INSIDE
from coordinator.faults.lifecycle import ContainerCrash, ContainerPause, among_processes
from coordinator.faults.limits import CpuLimit, beside_cgroups
from coordinator.faults.network import NetworkPartition
from coordinator.faults.stress import CpuStress

GONE = Way(state="not here", why="not root")
WELL = Way(state="tried", abilities={"nft_leases": "", "processes": "", "kill": ""})
NO_NFT = Way(state="tried", abilities={"nft_leases": "nft is not installed", "processes": "", "kill": ""})


class Queued(NetworkPartition):
    """A fault that has a second best way to do one thing."""

    abilities: ClassVar[tuple[tuple[str, ...], ...]] = (("nft_leases",), ("nft_queue", "xt_queue"))


def told(outcome: str, **other: object) -> Outcome:
    """A program that printed this."""
    return Outcome.model_validate({"exit_code": 0, "stdout": outcome} | other)


def test_what_tries_has_the_rights_of_what_acts() -> None:
    """The same options as a fault's helper, but for the program and the network, which leads nowhere."""
    network, processes, cgroups, mounts = attempts()
    acting = in_namespace("x", "look").argv
    assert [(a, b) for a, b in zip(network.argv, acting, strict=True) if a != b] == [
        ("none", "container:x"), (ABILITIES_PROGRAM, acting[-2]), ("network", "look"),
    ]  # fmt: skip
    assert processes.argv == (*among_processes("KILL", "SYS_PTRACE"), ABILITIES_PROGRAM, "processes")
    limiting = beside_cgroups("x", "y").argv
    assert cgroups.argv == (*limiting[:-2], ABILITIES_PROGRAM, "cgroups")
    assert mounts.argv == (*beside_cgroups("x", "y", capabilities=INSIDE).argv[:-2], ABILITIES_PROGRAM, "mounts")
    assert mounts.namespace == network.namespace == processes.namespace == cgroups.namespace == ""
    assert network.of_helper
    assert processes.of_helper
    assert cgroups.of_helper
    assert mounts.of_helper


def test_an_answer_is_read() -> None:
    """The last line counts, whatever came before it."""
    way = tried(told('warned\n{"a": "", "b": "no"}\n'))
    assert way == Way(state="tried", abilities={"a": "", "b": "no"})


@pytest.mark.parametrize(
    ("outcome", "state", "why"),
    [
        (told("", exit_code=125, stderr="docker: no such runtime.\nSee 'docker run --help'.\n"), "not here",
         "docker: no such runtime."),
        (told("", exit_code=127, stderr="docker: python3: not found.\n"), "not here", "docker: python3: not found."),
        (told("", exit_code=2, stderr="python3: can't open file 'x'\n"), "untested", OTHER_VERSION),
        (told("", exit_code=1, stderr="unshare: Operation not permitted\n"), "untested",
         "unshare: Operation not permitted"),
        (told("", exit_code=None, timed_out=True), "untested", f"what tries it did not end within {DEADLINE_S:.0f} s"),
        (told("", exit_code=None, stderr="no helper image"), "untested", "no helper image"),
        (told("", exit_code=3), "untested", "exit code 3"),
        (told("hello"), "untested", "what tries it answers 'hello'"),
        (told("[]"), "untested", "what tries it answers '[]'"),
    ],
)  # fmt: skip
def test_what_could_not_be_tried_says_why(outcome: Outcome, state: str, why: str) -> None:
    """What the engine refuses is not here; all else that fails leaves it open."""
    assert tried(outcome) == Way.model_validate({"state": state, "why": why})


def test_a_fault_by_the_engine_alone_is_ready() -> None:
    """Whatever helpers can or cannot."""
    assert status(ContainerPause, Abilities(helper=GONE, host=GONE)).state == "ready"


def test_a_fault_whose_undo_alone_takes_a_helper_is_second_best_without() -> None:
    """It is put and undone all the same, and what is missing is told."""
    lost = status(NetworkDisconnect, Abilities(helper=GONE, host=GONE))
    assert (lost.state, lost.why) == ("fallback", f"its undo is not exact without a helper: {GONE.why}")
    assert status(NetworkDisconnect, Abilities(helper=NO_NFT)).state == "ready"


@pytest.mark.parametrize(
    ("helper", "host", "state", "why"),
    [
        (WELL, GONE, "ready", ""),
        (WELL, WELL, "ready", ""),
        (Way(state="untested", why=NOT_BUILT), WELL, "ready", ""),
        (Way(state="untested", why=NOT_BUILT), GONE, "untested", NOT_BUILT),
        (Way(state="not here", why="no image"), GONE, "not here", "no image"),
        (NO_NFT, GONE, "not here", "nft is not installed"),
        (Way(state="not here", why="no image"), WELL, "fallback", "from this host alone, not by helpers: no image"),
        (NO_NFT, WELL, "fallback", "from this host alone, not by helpers: nft is not installed"),
        (WELL, NO_NFT, "not here", "on this host: nft is not installed"),
        (WELL, Way(state="untested", why="unshare not installed"), "ready", ""),
    ],
)
def test_a_fault_of_the_network_goes_the_way_that_is_taken(helper: Way, host: Way, state: str, why: str) -> None:
    """From the host where it may be entered, by a helper elsewhere."""
    judged = status(NetworkPartition, Abilities(helper=helper, host=host))
    assert (judged.state, judged.why) == (state, why)


def test_a_crash_is_by_helper_whatever_the_host_can() -> None:
    """The host's own abilities do not stand in for the helper's."""
    assert status(ContainerCrash, Abilities(helper=GONE, processes=WELL, host=GONE)).state == "ready"
    blind = Way(state="tried", abilities={"processes": "no --pid host", "kill": ""})
    judged = status(ContainerCrash, Abilities(helper=WELL, processes=blind, host=WELL))
    assert (judged.state, judged.why) == ("not here", "no --pid host")


@pytest.mark.parametrize(
    ("queues", "state", "why"),
    [
        ({"nft_queue": "", "xt_queue": "no"}, "ready", ""),
        ({"nft_queue": "no word", "xt_queue": ""}, "fallback", "xt_queue in place of nft_queue: no word"),
        ({"nft_queue": "no word", "xt_queue": "no module"}, "not here", "no word"),
        ({}, "not here", "nft_queue was not tried"),
    ],
)
def test_the_second_best_is_a_fallback(queues: dict[str, str], state: str, why: str) -> None:
    """One ability of each group is enough, and any but the first is said."""
    helper = Way(state="tried", abilities={"nft_leases": "", **queues})
    judged = status(Queued, Abilities(helper=helper, host=GONE))
    assert (judged.state, judged.why) == (state, why)


@pytest.mark.parametrize(
    ("lacking", "state", "why"),
    [
        ({}, "ready", ""),
        ({"nft_reject": "Not supported"}, "ready", "no answer but drop here: Not supported"),
        ({"nft_egress": "no hook"}, "fallback", "nft_leases in place of nft_egress: no hook"),
        ({"nft_egress": "no hook", "nft_reject": "no"}, "fallback",
         "nft_leases in place of nft_egress: no hook; no answer but drop here: no"),
        ({"nft_leases": "no nft", "nft_reject": "no nft"}, "not here", "no nft"),
    ],
)  # fmt: skip
def test_what_only_an_option_needs_is_told_and_demanded_of_none(lacking: dict[str, str], state: str, why: str) -> None:
    """A kernel that cannot refuse packets can drop them, which is what a blackhole does if nothing else is asked."""
    helper = Way(state="tried", abilities={"nft_leases": "", "nft_reject": "", "nft_egress": "", **lacking})
    judged = status(NetworkBlackhole, Abilities(helper=helper, host=GONE))
    assert (judged.state, judged.why) == (state, why)


def test_a_limit_and_a_load_need_the_cgroups_each_in_its_way() -> None:
    """A kernel that keeps nothing on a cgroup takes no limit, and a load all the same; what processes allow is none."""
    tried_there = {"processes": "", "cgroup_write": "", "cgroup_record": "not kept", "cgroup_join": ""}
    found = Abilities(processes=GONE, cgroups=Way(state="tried", abilities=tried_there))
    assert (status(CpuLimit, found).state, status(CpuLimit, found).why) == ("not here", "not kept")
    assert status(CpuStress, found).state == "ready"
    assert status(CpuStress, Abilities(processes=WELL)).state == "untested"


def test_every_fault_by_helper_says_what_it_needs() -> None:
    """A fault that names nothing would be called ready without a look."""
    assert all(kind.abilities for kind in KINDS.values() if kind.by_helper)
    assert json.loads(Abilities().model_dump_json())["host"]["state"] == "untested"
