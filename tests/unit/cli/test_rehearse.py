import json
from pathlib import Path

import pytest

from actors.docker.simulated import SimulatedEngine
from actors.recovery.orphans import Orphans
from coordinator.scenarios.parse import builtin_names, builtin_text
from tests.unit.cli.conftest import Call

FLEET = "containers:\n  - {name: web-1, labels: {app: web, test-coordinator.target: 'true'}}\n"
LIBRARY_FLEET = """
containers:
  - {name: web, restart_policy: always}
  - {name: front}
  - {name: web-1, labels: {app: web}}
  - {name: web-2, labels: {app: web}}
  - {name: db, labels: {app: db}, networks: [back]}
  - {name: redis, labels: {app: db}, networks: [back]}
  - {name: other, labels: {app: db}, networks: [back]}
"""
SCENARIO = """
apiVersion: test-coordinator/v1
kind: Scenario
metadata: {name: tried}
targets: {web: {labels: {app: web}}}
probes:
  up: {type: container, target: web}
  api: {type: http, url: 'http://127.0.0.1:1/'}
phases:
  - name: outage
    duration: 10s
    faults: [{type: container_pause, target: web, at: 2s}]
    assert: [{probe: api, availability: '>= 99%'}, {probe: up, availability: '>= WANTED'}]
"""

KILL = """
apiVersion: test-coordinator/v1
kind: Scenario
metadata: {name: tried}
targets: {web: {labels: {app: web}}}
phases:
  - {name: outage, duration: 10s, faults: [{type: container_kill, target: web, at: 2s, restore: false}]}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A scenario and a fleet that it can be played on."""
    (tmp_path / "s.yaml").write_text(SCENARIO.replace("WANTED", "10%"))
    (tmp_path / "fleet.yaml").write_text(FLEET)
    return str(tmp_path / "s.yaml"), str(tmp_path / "fleet.yaml")


def test_a_rehearsal_tells_commands_and_what_was_not_judged(call: Call, files: tuple[str, str]) -> None:
    """Inject and undo are on the timeline, and a claim on a service is never green by accident."""
    said = call("rehearse", files[0], "--fleet", files[1], "--seed", "1")
    assert said.code == 0
    assert said.out.index("docker pause ") < said.out.index("docker unpause ")
    assert "rehearsed   passed (1 not judged, see below)" in said.out
    assert "not judged  phase outage: api availability" in said.out
    assert "left        nothing" in said.out


def test_a_death_is_followed_by_recovery(call: Call, files: tuple[str, str]) -> None:
    """Killed while the fault is on, the next start unpauses, and nothing is left; as JSON an object."""
    said = call("rehearse", files[0], "--fleet", files[1], "--seed", "1", "--crash-at", "5s", "--json")
    assert said.code == 0
    told = json.loads(said.out)
    events = [(one["event"], one["text"].split()[:2]) for one in told["timeline"] if one["offset_s"] >= 5]
    assert events[0][0] == "death"
    assert ("command", ["docker", "unpause"]) in events
    assert (told["verdict"], told["died_at_s"], told["left"]) == ("aborted", 5.0, [])


def test_a_claim_on_containers_is_judged(call: Call, files: tuple[str, str]) -> None:
    """A container claim that does not hold on the simulated engine fails the rehearsal."""
    Path(files[0]).write_text(SCENARIO.replace("WANTED", "99%"))
    said = call("rehearse", files[0], "--fleet", files[1], "--seed", "1")
    assert said.code == 1
    assert "does not hold" in said.out


@pytest.mark.parametrize("name", builtin_names())
def test_the_library_can_be_rehearsed(call: Call, tmp_path: Path, name: str) -> None:
    """Each scenario finds its targets, every fault of it comes about on the simulated fleet, and nothing is left."""
    (tmp_path / "fleet.yaml").write_text(LIBRARY_FLEET)
    label = {"split-brain": "app=db"}.get(name, "app=web")
    variables = ["--var", f"label={label}"] if "label" in builtin_text(name) else []
    told = json.loads(call("rehearse", name, "--fleet", "fleet.yaml", "--seed", "1", *variables, "--json").out)
    events = [one["event"] for one in told["timeline"]]
    assert (told["verdict"], told["reason"]) == ("passed", None)
    assert (told["left"], told["undo"], "fault_not_injected" in events) == ([], "complete", False)
    assert events.count("fault_effective") == events.count("fault_undone") > 0


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        ("containers: [{nam: a}]", ":1: containers[0].nam: an unknown field; allowed: name, image,"),
        ("containers: [{nam: a}]", "; did you mean 'name'?"),
        ("containers:\n  - {image: a}", ":2: containers[0].name: missing; allowed: a name as Docker allows"),
        ("containers:\n  - name: a\n  - name: a", ":3: containers[1].name: 'a'; allowed: each name once; it also"),
        ("containers:\n  - name: -a", ":2: containers[0].name: '-a'; allowed: a name as Docker allows"),
        ("containers: []", ":1: containers: a list of 0; allowed: a list of at least one container"),
        ("containers: web", ":1: containers: 'web'; allowed: a list of at least one container"),
        ("{}", ":1: containers: missing; allowed: a list of at least one container"),
        ("containers: [web]", ":1: containers[0]: 'web'; allowed: a map"),
        ("- a", ":1: a list of 1; allowed: a map of fields"),
        ("containers: [", "not readable: "),
        ("containers: [{name: a}]\ncontainers: [{name: b}]", ":2: containers: given twice; allowed: each field once"),
        ("containers:\n- {name: a, name: b}", ":2: containers[0].name: given twice"),
        (
            "containers: [{name: a, restart_policy: often}]",
            "containers[0].restart_policy: 'often'; allowed: no, always",
        ),
        ("containers: [{name: a, health_check: 7}]", "containers[0].health_check: '7'; allowed: true or false"),
        ("[" * 20_000, "deeper than 32 levels"),
        ("containers: &all [{name: a}]", "the anchor &all"),
    ],
)
def test_a_bad_fleet_is_told_with_its_place(call: Call, files: tuple[str, str], fleet: str, said: str) -> None:
    """Every problem of a fleet file is a line with file and field; exit code 2."""
    Path(files[1]).write_text(fleet)
    ended = call("rehearse", files[0], "--fleet", files[1])
    assert ended.code == 2
    assert said in ended.err
    assert files[1] in ended.err


def test_a_time_without_unit_is_refused(call: Call, files: tuple[str, str]) -> None:
    """`--crash-at 5` names what is allowed."""
    ended = call("rehearse", files[0], "--fleet", files[1], "--crash-at", "5")
    assert ended.code == 2
    assert "did you mean 5s?" in ended.err


def test_a_scenario_of_hours_is_told_what_ends_it(call: Call, files: tuple[str, str]) -> None:
    """The ceiling of every execution is named, so that it can be raised."""
    Path(files[0]).write_text(SCENARIO.replace("WANTED", "10%").replace("duration: 10s", "duration: 36h"))
    said = call("rehearse", files[0], "--fleet", files[1], "--seed", "1")
    assert said.code == 3
    assert "rehearsed   aborted: timeout: longer than 3600 s (SCENARIO_TIMEOUT_SECONDS)" in said.out


def test_a_seed_is_a_whole_number(call: Call, files: tuple[str, str]) -> None:
    """What is none is told what is due."""
    ended = call("rehearse", files[0], "--fleet", files[1], "--seed", "x")
    assert ended.code == 2
    assert "'x': allowed: a whole number, 0 or more" in ended.err


def test_what_is_not_restored_on_purpose_is_left_as_asked(call: Call, files: tuple[str, str]) -> None:
    """`restore: false` breaks nothing: the rehearsal passes and says what stays down, and why."""
    Path(files[0]).write_text(KILL)
    said = call("rehearse", files[0], "--fleet", files[1], "--seed", "1")
    assert said.code == 0
    assert "left as asked  web-1 is exited, was running: restore is false" in said.out
    assert "left           nothing else" in said.out


def test_a_death_after_such_a_fault_is_recovered_from(call: Call, files: tuple[str, str]) -> None:
    """The next start is done at once: nobody waits for what nobody will start."""
    Path(files[0]).write_text(KILL)
    arguments = ("rehearse", files[0], "--fleet", files[1], "--seed", "1", "--crash-at", "6s", "--json")
    told = json.loads(call(*arguments).out)
    assert (told["left"], told["left_as_asked"]) == ([], ["web-1 is exited, was running: restore is false"])
    assert 0 < told["recovered_at_s"] - told["died_at_s"] < 60


def test_a_recovery_that_does_not_come_about_is_not_told_as_one(
    call: Call, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With things left after all the time it had, it is said that not all was put back; exit code 5."""
    monkeypatch.setattr(SimulatedEngine, "unpause", lambda *_: None)
    said = call("rehearse", files[0], "--fleet", files[1], "--seed", "1", "--crash-at", "5s")
    assert said.code == 5
    assert "recovery    killed at 5.0s, not all put back when it was last looked at, at " in said.out
    assert "left        web-1 is paused, was running" in said.out


def test_an_execution_that_does_not_end_is_left_over(
    call: Call, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every container as it was, and nothing owed, an execution without an end is no success."""

    async def nobody(_orphans: Orphans) -> None:
        """Does not give it its verdict."""

    monkeypatch.setattr(Orphans, "settle", nobody)
    said = call("rehearse", files[0], "--fleet", files[1], "--seed", "1", "--crash-at", "1s")
    assert said.code == 5
    assert "left        the execution is running, not finished" in said.out


INSIDE = """
apiVersion: test-coordinator/v1
kind: Scenario
metadata: {name: tried}
targets: {web: {labels: {app: web}}, same: {names: [web-1]}, other: {names: [web-2]}}
probes: {up: {type: container, target: same}, well: {type: container, target: same, expect: {health: healthy}}}
phases:
  - {name: before, duration: 1s, assert: [{container: {target: same, state: running}}]}
  - name: cut
    duration: 5s
    faults: [{type: network_latency, target: web, latency: 1s}]
    assert: [{probe: up, availability: '>= 99%'}, {probe: well, availability: '>= 99%'}]
  - name: hit
    duration: 5s
    faults:
      - {type: disk_fill, target: web, path: /nowhere, size: 5g}
      - {type: process_kill, target: web, name: worker, signal: SIGTERM}
      - type: http_call
        target: web
        inject: {method: POST, url: 'http://127.0.0.1:1/'}
        undo: {method: DELETE, url: 'http://127.0.0.1:1/'}
    assert: [{container: {target: same, restarts: '>= 1'}}, {container: {target: other, restarts: '== 0'}}]
  - {name: after, duration: 1s, wait_until: {container: {target: same, health: unhealthy}}}
"""


def test_what_happens_inside_a_container_is_not_judged(call: Call, files: tuple[str, str]) -> None:
    """Effects that only a real process, disk or service shows are said to be taken for granted, and no claim on a
    container they may act on is judged, by whatever name it is selected; others are.
    """
    Path(files[0]).write_text(INSIDE)
    Path(files[1]).write_text(f"{FLEET}  - {{name: web-2}}\n")
    said = call("rehearse", files[0], "--fleet", files[1], "--seed", "1", "--json")
    told = json.loads(said.out)
    assert (said.code, told["reason"]) == (0, None)
    felt = "network_latency, disk_fill, process_kill, http_call"
    assert told["not_judged"] == [
        "phase cut: well availability: what network_latency may do to it is not simulated",
        "phase hit: disk_fill on web is taken to succeed",
        "phase hit: process_kill on web is taken to succeed",
        "phase hit: http_call on web is taken to succeed",
        "phase hit: same restarts: what disk_fill, process_kill, http_call may do to it is not simulated",
        f"phase after: same wait_until, at most 30s: what {felt} may do to it is not simulated",
    ]
    judged = [(one["phase"], one["on"], one["metric"]) for one in told["assertions"]]
    assert judged == [("before", "same", "state"), ("cut", "up", "availability"), ("hit", "other", "restarts")]
