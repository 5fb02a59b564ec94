import json
from pathlib import Path

import pytest

from coordinator.cli.catalogue import fault_kinds, probe_kinds
from coordinator.library import Library
from coordinator.quantities import DURATION_ALLOWED
from coordinator.scenarios.parse import builtin_names, builtin_text, parse
from tests.unit.cli.conftest import SCENARIO, Call


def test_faults_lists_every_type_with_class_and_undo(call: Call) -> None:
    """Each type of the catalogue is a line, aliases included."""
    said = call("faults")
    listed = {line.split()[0]: line for line in said.out.splitlines()[1:]}
    assert set(listed) >= {"container_kill", "service_kill", "container_stop", "container_pause", "exec"}
    assert "journal" in listed["container_pause"]
    assert "unpaused" in listed["container_pause"]


def test_a_fault_is_described(call: Call) -> None:
    """Parameters with unit, default and meaning; undo, class, mechanism, needs."""
    said = call("faults", "container_stop")
    assert said.code == 0
    lines = {line.split()[0]: line for line in said.out.splitlines() if line}
    assert "docker stop" in lines["by"]
    assert "a Docker engine" in lines["needs"]
    assert "required" in lines["target"]
    assert "10s" in lines["grace"]
    for name in ("at", "for", "grace"):
        assert DURATION_ALLOWED in lines[name]
    assert "type" not in [line.split()[0] for line in said.out.split("PARAMETER")[1].splitlines()]


def test_fields_within_fields_have_their_defaults(call: Call) -> None:
    """Also in JSON: of the states of a link, and of a request."""
    lines = {line.split()[0]: line for line in call("faults", "network_loss").out.splitlines() if line}
    assert "required" in lines["gilbert_elliott.p"]
    assert "100%" in lines["gilbert_elliott.1-h"]
    assert lines["gilbert_elliott.1-k"].split()[1] == "0%"
    found = json.loads(call("faults", "http_call", "--json").out)["parameters"]
    defaults = {each["name"]: each["default"] for each in found}
    assert (defaults["inject"], defaults["inject.method"], defaults["undo.path"]) == (None, "POST", "/")
    assert "expect.status" in call("probes", "http").out


def test_rights_and_other_names_are_told(call: Call) -> None:
    """The capabilities of the helper; an alias says of what, and a fault what else it is called; also in JSON."""
    lines = {line.split()[0]: line for line in call("faults", "network_loss").out.splitlines() if line}
    assert lines["capabilities"].split()[1:] == ["of", "its", "helper:", "NET_ADMIN,", "NET_RAW"]
    assert lines["aliases"].split() == ["aliases", "network_packet_loss"]
    assert "\ncapabilities  none\n" in call("faults", "container_pause").out
    assert "\nalias of      container_kill\n" in call("faults", "service_kill").out
    listed = {line.split()[0]: line for line in call("faults").out.splitlines()[1:]}
    assert "the same as container_restart" in listed["service_restart"]
    kinds = {each["type"]: each for each in json.loads(call("faults", "--json").out)["items"]}
    assert kinds["service_kill"]["alias_of"] == "container_kill"
    assert (kinds["container_kill"]["alias_of"], kinds["container_kill"]["aliases"]) == ("", ["service_kill"])
    assert kinds["process_freeze"]["capabilities"] == ["KILL"]


def test_every_kind_tells_what_it_does_and_takes() -> None:
    """No fault or probe is without a summary, and every parameter says what is allowed."""
    for kind in (*fault_kinds(), *probe_kinds()):
        assert kind.summary, kind.type
        assert kind.parameters, kind.type
        any_json = {parameter.name for parameter in kind.parameters if parameter.allowed == "any JSON"}
        assert any_json == ({"inject.json", "undo.json"} if kind.type == "http_call" else set())


def test_probes_are_listed_and_described(call: Call) -> None:
    """The probe types, and the parameters of one."""
    types = [line.split()[0] for line in call("probes").out.splitlines()[1:]]
    assert types == ["http", "tcp", "grpc_health", "container", "exec", "sql", "redis", "prometheus", "log"]
    assert "steady" not in call("probes", "http").out
    assert "GET, HEAD, POST" in call("probes", "http").out
    assert "a metric's name" in call("probes", "prometheus").out


@pytest.mark.parametrize("command", ["faults", "probes", "scenarios"])
def test_lists_are_json_on_demand(call: Call, command: str) -> None:
    """`--json` gives `items` and `next`, as the API does."""
    listed = json.loads(call(command, "--json").out)
    assert listed["next"] is None
    assert listed["items"]


def test_a_fault_as_json_has_its_class(call: Call) -> None:
    """One type as JSON has the names of the API."""
    kind = json.loads(call("faults", "container_kill", "--json").out)
    assert (kind["type"], kind["class"]) == ("container_kill", "journal")


@pytest.mark.parametrize("argv", [("faults", "container_kil"), ("probes", "htp"), ("scenarios", "kill-one-replic")])
def test_an_unknown_name_is_answered_with_the_nearest(call: Call, argv: tuple[str, str]) -> None:
    """A typing error ends with 2 and what was probably meant."""
    said = call(*argv)
    assert (said.code, said.out) == (2, "")
    assert "did you mean" in said.err


def test_a_built_in_scenario_is_printed_as_it_is(call: Call) -> None:
    """`scenarios NAME` prints a file that can be run; the list names each with its variables."""
    name = builtin_names()[0]
    assert call("scenarios", name).out == builtin_text(name)
    lines = call("scenarios").out.splitlines()[1:]
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(builtin_names())
    told = " ".join(" ".join(lines).split())
    for known in builtin_names():
        for variable, value in parse(builtin_text(known), file=known).variables.items():
            assert f"{variable}={value}" in told
    assert max(map(len, lines)) <= 100


def test_a_kept_scenario_is_a_name_like_any_other(call: Call, workplace: Path) -> None:
    """One in DATA_DIR/scenarios is listed, printed, and found by `plan` when no file is called so."""
    text = SCENARIO.replace("kill-one-replica", "mine")
    Library(workplace / "data").put("mine", text)
    assert call("scenarios", "mine").out.strip() == text.strip()
    listed = json.loads(call("scenarios", "--json").out)["items"]
    assert [item["name"] for item in listed if not item["built_in"]] == ["mine"]
    assert call("plan", "mine").code in {0, 4}
    missing = call("plan", "mime")
    assert (missing.code, "did you mean 'mine'?" in missing.err) == (2, True)
