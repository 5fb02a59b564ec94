import json
from pathlib import Path

import pytest

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
    assert (told["left"], told["undo"], "fault_not_injected" in events) == ([], "complete", False)
    assert events.count("fault_effective") == events.count("fault_undone") > 0


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        ("containers: [{nam: a}]", "containers.0.nam: unknown field; allowed: name"),
        ("containers: [{name: a}, {name: a}]", "more than once: a"),
        ("containers: []", "containers"),
        ("- a", "is no map"),
        ("containers: [", "is not YAML"),
        ("containers: [{name: a, restart_policy: often}]", "containers.0.restart_policy: 'often'"),
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
