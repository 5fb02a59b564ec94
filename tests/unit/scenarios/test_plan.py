"""The plan: who, what and when; what forbids it; and that the same is always the same."""

import json
import os
import subprocess
import sys

import pytest

from coordinator.faults.facts import ContainerFacts, ContainerState, NetworkAttachment
from coordinator.faults.targeting import Policy
from coordinator.record import TargetRef
from coordinator.scenarios.parse import builtin_text, parse
from coordinator.scenarios.plan import Plan, make_plan, render

HEAD = "apiVersion: test-coordinator/v1\nkind: Scenario\nmetadata: {name: s}\n"
BODY = (
    HEAD
    + """
targets: {web: {labels: {app: web}}}
probes: {x: {type: exec, target: web, command: [true]}}
phases:
  - name: one
    duration: 5s
    faults:
      - {type: container_kill, target: web, at: 1s}
      - {type: service_restart, target: web, grace: 4s, at: 2s, for: 1s}
  - name: two
    repeat: {times: 3}
    faults: [{type: exec, target: web, command: [echo, a b]}, {type: container_pause, target: web}]
"""
)


def container(name: str, state: str = "running", **labels: str) -> ContainerFacts:
    """A container labelled app=web with an id of full length."""
    identity = (name.encode().hex() * 64)[:64]
    return ContainerFacts(
        id=identity, name=name, image="i", labels={"app": "web", **labels}, state=ContainerState(state), started_at="t"
    )


A, B = container("a"), container("b")


def planned(
    text: str = BODY,
    containers: tuple[ContainerFacts, ...] = (A, B),
    *,
    seed: int = 1,
    disabled: tuple[str, ...] = (),
    enabled: bool = True,
    opt_in: bool = False,
) -> Plan:
    """The plan of a scenario text."""
    parsed = parse(text, file="f")
    return make_plan(
        parsed.scenario, parsed.variables, containers, Policy(opt_in=opt_in), seed,
        faults_disabled=disabled, injection_enabled=enabled,
    )  # fmt: skip


def killing() -> str:
    """The built-in kill-one-replica, aimed at the containers above."""
    return builtin_text("kill-one-replica").replace("test-coordinator.demo=replica", "app=web")


def test_every_fault_of_every_round_is_planned() -> None:
    """In order, with its time, its class and the commands for each container."""
    plan = planned()
    where = [(fault.phase, fault.round, fault.index, fault.type, fault.at_s, fault.lasts_s) for fault in plan.faults]
    assert where == [
        ("one", 1, 0, "container_kill", 1.0, None),
        ("one", 1, 1, "service_restart", 2.0, 1.0),
        *((("two", number, index, kind, 0.0, None)) for number in (1, 2, 3)
          for index, kind in enumerate(("exec", "container_pause"))),
    ]  # fmt: skip
    assert plan.targets == {"web": (TargetRef(id=A.id, name="a"), TargetRef(id=B.id, name="b"))}
    assert [target.inject.argv for target in plan.faults[0].plan.targets] == [
        ("kill", "--signal", "SIGKILL", A.id), ("kill", "--signal", "SIGKILL", B.id)
    ]  # fmt: skip
    assert plan.refusals == plan.warnings == ()


def test_the_hash_is_of_what_is_done() -> None:
    """Layout, comments, order of containers and unused variables do not matter; any act, seed or container does."""
    hashes = {planned().hash}
    same = BODY.replace("duration: 5s", "duration: 5000ms   # long") + "variables: {unused: x}\n"
    assert planned(same, (B, A)).hash in hashes
    assert len(planned().hash) == 16
    others = [
        planned(seed=2),
        planned(containers=(A,)),
        planned(BODY.replace("at: 1s", "at: 2s")),
        planned(BODY.replace("times: 3", "times: 2")),
        planned(BODY.replace("a b", "a c")),
        planned(BODY.replace("command: [true]", "command: [false]")),
        planned(containers=(A, container("b", "exited"))),
    ]
    hashes |= {plan.hash for plan in others}
    assert len(hashes) == len(others) + 1


def test_the_hash_is_the_same_in_another_process() -> None:
    """No hash seed and no memory address is in it."""
    program = "from tests.unit.scenarios.test_plan import killing, planned\nprint(planned(killing()).hash)"
    path = os.pathsep.join(["", *sys.path])
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed, "PYTHONPATH": path},
        )
        for seed in "12"
    ]  # fmt: skip
    assert {run.stdout.strip() for run in runs} == {planned(killing()).hash}


def test_nobody_found_is_a_refusal_that_names_the_forbidden() -> None:
    """An empty target says so, and which containers matched but may not be touched; `allow_empty` lifts it."""
    plan = planned(opt_in=True)
    (refusal,) = plan.refusals
    assert refusal.startswith("target web: no container matches")
    assert "a: it is not labelled test-coordinator.target=true" in refusal
    assert [name for name, _ in plan.left_out] == ["a", "b"]
    assert planned(containers=()).refusals == ("target web: no container matches",)
    assert planned(BODY.replace("{labels: {app: web}}", "{allow_empty: true, names: [z]}")).refusals == ()


@pytest.mark.parametrize(
    ("disabled", "count"),
    [(("container_kill",), 1), (("service_kill",), 1), (("container_restart", "container_pause"), 2), (("exec",), 2)],
)
def test_a_type_that_is_switched_off_is_refused(disabled: tuple[str, ...], count: int) -> None:
    """Under any of its names; with exec, exec probes too."""
    refusals = planned(disabled=disabled).refusals
    assert len(refusals) == count
    assert all("FAULTS_DISABLED" in refusal for refusal in refusals)


def test_no_injection_is_planned_for_when_it_is_switched_off() -> None:
    """The refusal names the setting; a scenario without faults is not concerned."""
    assert any("CHAOS_INJECTION_ENABLED" in refusal for refusal in planned(enabled=False).refusals)
    calm = HEAD + "targets: {web: {names: [a]}}\nphases: [{name: look}]\n"
    assert planned(calm, enabled=False).refusals == ()


def test_limits_count_what_faults_are_aimed_at() -> None:
    """A target that is only looked at does not count."""
    limited = BODY + "limits: {max_targets: 1}\n"
    assert len(planned(limited).refusals) == 1
    assert planned(limited, (A,)).refusals == ()
    looked_at = HEAD + "limits: {max_targets: 1}\n" + (
        "targets: {one: {names: [a]}, all: {labels: {app: web}}}\n"
        "phases: [{name: p, faults: [{type: container_kill, target: one}]}]\n"
        "probes: {c: {type: container, target: all}}\n"
    )  # fmt: skip
    assert planned(looked_at).refusals == ()


def test_what_is_left_alone_is_warned_of_once() -> None:
    """A container that is down already, and a pick of more than there are."""
    text = BODY.replace("{labels: {app: web}}", "{labels: {app: web}, pick: 3}")
    warnings = planned(text, (container("b", "paused"),)).warnings
    assert len(warnings) == len(set(warnings)) == 5
    assert any("b alone: it is paused" in warning for warning in warnings)
    assert any("1 of 3" in warning for warning in warnings)


def test_undo_time_is_of_the_worst_phase() -> None:
    """Two kills and two restarts (0.2 s each) and a grace of 4 s with its margin, against two unpauses."""
    assert planned().estimated_undo_s == pytest.approx(4 * 0.2 + 9.0)
    pause = (
        HEAD + "targets: {w: {labels: {app: web}}}\nphases: [{name: p, faults: [{type: container_pause, target: w}]}]"
    )
    assert planned(pause).estimated_undo_s == pytest.approx(0.06)


def test_who_is_cut_off_from_whom_is_in_the_plan() -> None:
    """By name, and the same seed says the same; too few are refused in one line."""
    networked = tuple(
        each.model_copy(update={"network_mode": "n", "networks": (NetworkAttachment(name="n", ip=f"10.0.0.{number}"),)})
        for number, each in enumerate((A, B, container("c")))
    )
    text = (
        HEAD
        + """
targets: {web: {labels: {app: web}}}
phases: [{name: one, duration: 5s, faults: [{type: network_partition, target: web, shape: majority}]}]
"""
    )
    plan = planned(text, networked, seed=3)
    (drawn,) = [line.strip() for line in render(plan).splitlines() if "drawn with the seed" in line]
    assert drawn == f"drawn with the seed: {plan.faults[0].plan.drawn}"
    assert planned(text, networked, seed=3).hash == plan.hash
    (refusal,) = planned(text, networked[:2]).refusals
    assert refusal == (
        "phase one: network_partition on web: the shape majority takes 3 containers or more, and here are 2"
    )


def test_who_uses_a_targets_network_is_told_or_refused() -> None:
    """A fault of the network hits all who use it: those who may not be touched forbid it, in one line."""
    owner = A.model_copy(update={"network_mode": "n", "networks": (NetworkAttachment(name="n", ip="10.0.0.1"),)})
    shared = {"network_mode": f"container:{A.id}", "labels": {}}
    sharer, safe = (
        B.model_copy(update=shared),
        container("safe").model_copy(update={**shared, "labels": {"test-coordinator.protected": "true"}}),
    )
    text = (
        HEAD
        + """
targets: {web: {labels: {app: web}}}
phases: [{name: one, duration: 5s, faults: [{type: network_loss, target: web, percent: 1%}]}]
"""
    )
    plan = planned(text, (owner, sharer))
    assert plan.refusals == ()
    assert plan.warnings == ("phase one: network_loss on a would hit b, which uses its network, too",)
    (refusal,) = planned(text, (owner, sharer, safe)).refusals
    assert refusal == (
        "phase one: network_loss on a would hit safe, which uses its network and may not be touched: "
        "it is protected (test-coordinator.protected=true)"
    )
    assert planned(text.replace("network_loss, target: web, percent: 1%", "container_pause, target: web"),
                   (owner, safe)).refusals == ()  # fmt: skip
    host = owner.model_copy(update={"network_mode": "host"})
    (refusal,) = planned(text, (host,)).refusals
    assert refusal == (
        "phase one: network_loss on web: a uses the host's network: more than this container would be hit"
    )


def test_a_plan_reads_in_a_hundred_columns() -> None:
    """Containers, times, every command with its undo in a pasteable form, refusals, undo time and hash."""
    text = BODY.replace("a b", "long " * 60) + "variables: {db: 'postgres://u:secret@h/x'}\n"
    plan = planned(text, (A, container("b", "exited"), container("c", **{"test-coordinator.protected": "true"})),
                   disabled=("container_pause",))  # fmt: skip
    shown = render(plan)
    assert max(len(line) for line in shown.splitlines() if "long long" not in line) <= 100
    for part in (
        plan.hash, "a (616161616161)", "docker kill --signal SIGKILL 616161616161", "docker start 616161616161",
        "docker unpause 616161616161", "fired at +1s", "undone at +3s", "class journal", "3 rounds", "b is exited",
        "c: it is protected", "phase two: container_pause is switched off", "undo: about", "u:***@h",
    ):  # fmt: skip
        assert part in shown
    assert A.id not in shown
    assert "secret" not in shown


def test_undos_that_outlast_a_stop_are_warned_of() -> None:
    """A plan whose undo may take longer than the shutdown deadline says so, with the setting; another does not."""
    parsed = parse(BODY, file="f")

    def warned(deadline_s: float) -> bool:
        plan = make_plan(
            parsed.scenario, parsed.variables, (A, B), Policy(opt_in=False), 1,
            faults_disabled=(), injection_enabled=True, shutdown_deadline_s=deadline_s,
        )  # fmt: skip
        return any("in time (100ms, SHUTDOWN_DEADLINE_SECONDS)" in line for line in plan.warnings)

    assert warned(0.1)
    assert not warned(100)


def test_probes_of_the_own_container_are_warned_of() -> None:
    """Where the coordinator runs in a container, a probe of a loopback address names itself in the plan."""
    probes = "probes: {own: {type: tcp, host: localhost, port: 1}, other: {type: tcp, host: db, port: 1}, "
    parsed = parse(BODY.replace("probes: {", probes), file="f")

    def warned(*, in_container: bool) -> list[str]:
        plan = make_plan(
            parsed.scenario, parsed.variables, (A, B), Policy(opt_in=False), 1,
            faults_disabled=(), injection_enabled=True, in_container=in_container,
        )  # fmt: skip
        return [line.split(" looks")[0] for line in plan.warnings if "loopback" in line]

    assert warned(in_container=True) == ["probe own"]
    assert warned(in_container=False) == []


@pytest.mark.parametrize("which", ["inject", "undo"])
def test_calls_of_the_own_container_are_warned_of(which: str) -> None:
    """A fault whose request goes to a loopback address names itself, once; one that goes elsewhere does not."""
    calls = {"inject": "{url: 'http://api/on'}", "undo": "{port: 80, path: /off}"}
    own = {**calls, which: "{url: 'http://127.0.0.1:8000/'}"}
    faults = "".join(
        f"\n      - {{type: http_call, target: web, inject: {each['inject']}, undo: {each['undo']}}}"
        for each in (calls, own)
    )
    parsed = parse(BODY.replace("    faults:", f"    faults:{faults}", 1), file="f")

    def warned(*, in_container: bool) -> list[str]:
        plan = make_plan(
            parsed.scenario, parsed.variables, (A, B), Policy(opt_in=False), 1,
            faults_disabled=(), injection_enabled=True, in_container=in_container,
        )  # fmt: skip
        return [line.split(" calls")[0] for line in plan.warnings if "loopback" in line]

    assert warned(in_container=True) == ["http_call on web in phase one"]
    assert warned(in_container=False) == []


def test_on_the_wire_a_planned_fault_is_named_as_the_api_names_things() -> None:
    """Durations end in `_s`, the class is `class`, and what was written can be read."""
    plan = planned()
    text = plan.model_dump_json(by_alias=True)
    assert {"at_s", "lasts_s", "class"} < json.loads(text)["faults"][0].keys()
    assert Plan.model_validate_json(text) == plan
