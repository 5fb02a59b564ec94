import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from coordinator.cli.doctor import Findings, abilities, abilities_told, checks
from coordinator.cli.machine import port_state, socket_error
from coordinator.cli.tools import Tools, Where
from coordinator.client import HttpControl
from coordinator.errors import DataDirInUse, EngineUnreachable
from coordinator.faults.abilities import NOT_BUILT, Abilities, Way
from coordinator.faults.catalogue import KINDS
from coordinator.record import SCAN_OWED
from coordinator.settings import Settings
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import (
    ENGINE,
    ScriptedConnect,
    ScriptedControl,
    docker_cli_version,
    engine_info,
    helper_image_error,
    no_engine,
)

NETWORK = ("nft_leases", "nft_queue", "nft_reject", "raw_packets", "ifb", "nft_forward", "nft_egress", "tc_htb")
CGROUPS = ("processes", "cgroup_write", "cgroup_record", "cgroup_join")
WELL = Findings(
    endpoint="unix:///sock", engine=ENGINE, cli_version="29.1.0", data_dir="/d", ports={"http port": (8080, "free")},
    stores={"postgres": "", "redis": "redis://:***@h"},
    abilities=Abilities(
        helper=Way(state="tried", abilities=dict.fromkeys(NETWORK, "")),
        processes=Way(state="tried", abilities={"processes": "", "kill": "", "clock": ""}),
        cgroups=Way(state="tried", abilities=dict.fromkeys(CGROUPS, "")),
        mounts=Way(state="tried", abilities=dict.fromkeys((*CGROUPS, "mount_namespace"), "")),
        host=Way(state="not here", why="not root"),
    ),
)  # fmt: skip


def judged(found: Findings) -> dict[str, tuple[str, str]]:
    """State and text by name."""
    return {check.name: (check.state, check.text) for check in checks(found)}


def test_all_well() -> None:
    """With everything there no check is a problem, and every fault is ready."""
    assert {state for state, _ in judged(WELL).values()} == {"ok", "not configured"}
    assert judged(WELL)["postgres"][0] == "not configured"
    assert {ability.state for ability in abilities(WELL)} == {"ready"}


@pytest.mark.parametrize(
    ("cli", "engine", "state"),
    [
        ("28.2.2", "29.0.0", "ok"),
        ("25.0.0", "29.0.0", "ok"),
        ("24.0.9", "29.0.0", "problem"),
        ("20.10.24", "20.10.24", "warning"),
    ],
)
def test_the_command_line_must_speak_to_the_engine(cli: str, engine: str, state: str) -> None:
    """25 is new enough for all; older ones do for older engines, and not for a current one."""
    found = WELL.model_copy(update={"cli_version": cli, "engine": ENGINE.model_copy(update={"version": engine})})
    assert judged(found)["docker cli"][0] == state


def test_without_an_engine_no_fault_is_ready() -> None:
    """The engine's error is told as it is, and every fault names it as the reason."""
    found = WELL.model_copy(update={"engine": None, "engine_error": "start Docker"})
    assert judged(found)["engine"] == ("problem", "start Docker")
    assert {(ability.state, ability.why) for ability in abilities(found)} == {("not here", "no engine answers")}


def test_disabled_faults_are_not_here() -> None:
    """FAULTS_DISABLED takes single types away, CHAOS_INJECTION_ENABLED all."""
    some = {one.type: one.state for one in abilities(WELL.model_copy(update={"faults_disabled": ("exec",)}))}
    assert (some["exec"], some["container_kill"]) == ("not here", "ready")
    off = WELL.model_copy(update={"injection_enabled": False})
    assert {ability.state for ability in abilities(off)} == {"not here"}
    assert judged(off)["injection"][0] == "warning"


def test_a_way_that_is_not_there_is_told_as_it_follows() -> None:
    """No helper is a warning, one that is not built yet and a host that may not be entered are none."""
    gone = Abilities(helper=Way(state="not here", why="no image"), host=Way(state="not here", why="not root"))
    lines = judged(WELL.model_copy(update={"abilities": gone}))
    assert lines["helper"] == ("warning", "no image")
    assert lines["host namespaces"] == ("ok", "not entered from here, helpers do it: not root")
    unbuilt = Abilities(helper=Way(state="untested", why=NOT_BUILT))
    assert judged(WELL.model_copy(update={"abilities": unbuilt}))["helper"][0] == "ok"
    assert judged(WELL)["helper"] == ("ok", "tried: 8 of 8 abilities work, see below")


def test_faults_are_judged_by_what_was_tried() -> None:
    """Those by helper tell why theirs is not there; the others are ready."""
    gone = Abilities(processes=Way(state="not here", why="no image"), host=Way(state="not here", why="not root"))
    able = {one.type: one for one in abilities(WELL.model_copy(update={"abilities": gone}))}
    assert (able["container_crash"].state, able["container_crash"].why) == ("not here", "no image")
    assert able["container_kill"].state == "ready"


def test_abilities_are_told_by_way_where_ways_differ() -> None:
    """One word where both agree, both where they do not, one where one was tried."""
    both = Abilities(
        helper=Way(state="tried", abilities={"same": "", "differs": "no iptables"}),
        processes=Way(state="tried", abilities={"kill": ""}),
        host=Way(state="tried", abilities={"same": "", "differs": ""}),
    )
    assert abilities_told(both) == [
        ("same", "works"),
        ("differs", "by helper not here: no iptables; from this host works"),
        ("kill", "works"),
    ]
    assert abilities_told(Abilities()) == []


def test_cgroups_are_told_where_the_engine_tells_them() -> None:
    """Version and driver; nothing from an engine that does not say."""
    engine = ENGINE.model_copy(update={"cgroup_version": "2", "cgroup_driver": "systemd"})
    assert judged(WELL.model_copy(update={"engine": engine}))["cgroups"] == ("ok", "version 2, driver systemd")
    silent = ENGINE.model_copy(update={"cgroup_version": ""})
    assert "cgroups" not in judged(WELL.model_copy(update={"engine": silent}))


def test_an_engine_that_is_lost_on_the_way_leaves_faults_untested(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers at first and not when abilities are tried: one line says so, and nothing is claimed."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    async def lost(settings: Settings) -> Abilities:
        raise EngineUnreachable("the engine has gone")

    tools = Tools(
        connect=ScriptedConnect(ScriptedControl()), engine_info=engine_info, docker_cli_version=docker_cli_version,
        helper_image_error=helper_image_error, try_abilities=lost,
    )  # fmt: skip
    body = json.loads(call("doctor", "--json", tools=tools).out)
    told = {fault["type"]: (fault["state"], fault["why"]) for fault in body["faults"]}
    assert told["network_partition"] == ("untested", "the engine has gone")
    assert told["container_pause"] == ("ready", "")


def test_a_helper_image_without_tools_is_a_warning() -> None:
    """What is missing is named with what to install; the faults that do without are ready."""
    found = WELL.model_copy(update={"helper_lacks": "the helper image has no nft: install nftables"})
    assert judged(found)["network tools"] == ("warning", "the helper image has no nft: install nftables")
    assert {one.type: one for one in abilities(found)}["container_crash"].state == "ready"


def test_a_port_in_use_is_a_problem_unless_ours() -> None:
    """Another program on the port is a problem; the coordinator of this DATA_DIR is not."""
    used = WELL.model_copy(update={"ports": {"http port": (8080, "in use")}})
    assert judged(used)["http port"] == ("problem", "8080 is in use by another program: set HTTP_PORT")
    ours = used.model_copy(update={"coordinator": "http://127.0.0.1:8080", "held": {"http port": 8080}})
    assert judged(ours)["http port"] == ("ok", "8080 is held while this coordinator runs")
    assert judged(ours)["store"] == ("ok", "held by the coordinator at http://127.0.0.1:8080")


def test_a_port_that_another_program_has_is_a_problem_while_ours_runs_elsewhere() -> None:
    """A coordinator that listens on other ports does not hold these."""
    found = WELL.model_copy(
        update={
            "coordinator": "http://127.0.0.1:18090",
            "held": {"http port": 18090, "grpc port": 18091},
            "ports": {"http port": (18999, "in use"), "grpc port": (18091, "in use")},
        }
    )
    lines = judged(found)
    text = "18999 is in use, and not by the coordinator that runs, which has 18090: set HTTP_PORT"
    assert lines["http port"] == ("problem", text)
    assert lines["grpc port"][0] == "ok"


def test_the_ports_of_the_coordinator_that_runs_are_read(
    call: Call, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those of endpoints.json, where a coordinator answers there; else nobody of ours holds a port."""
    said = {"pid": 7, "instance": "blue", "http": "127.0.0.1:18090", "grpc": "127.0.0.1:18091"}
    (workplace / "data").mkdir()
    (workplace / "data" / "endpoints.json").write_text(json.dumps(said))

    @asynccontextmanager
    async def running(settings: Settings, where: Where, *, recovery: bool) -> AsyncIterator[HttpControl]:
        async with HttpControl.opened("http://127.0.0.1:18090", SecretStr("")) as control:
            yield control

    tools = Tools(connect=running, engine_info=no_engine, docker_cli_version=docker_cli_version)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("HTTP_PORT", str(taken.getsockname()[1]))
        body = json.loads(call("doctor", "--json", tools=tools).out)
    port_check = next(check for check in body["checks"] if check["name"] == "http port")
    assert (port_check["state"], "which has 18090: set HTTP_PORT" in port_check["text"]) == ("problem", True)


@pytest.mark.parametrize(
    ("update", "state", "text"),
    [
        ({"engine": None}, "warning", "not tried: no engine answers, or no docker command line"),
        ({"cli_version": ""}, "warning", "not tried: no engine answers, or no docker command line"),
        (
            {"abilities": Abilities(helper=Way(state="untested", why=NOT_BUILT))},
            "ok",
            "ip, nft, tc are on this machine, from which the helper image is built",
        ),
        (
            {"abilities": Abilities(helper=Way(state="not here", why="no --network"))},
            "warning",
            "not tried: no --network",
        ),
        (
            {"abilities": Abilities(helper=Way(state="tried", abilities={"nft_leases": "nft is not installed"}))},
            "warning",
            "the helper image has no nft, so faults of the network do not work: see HELPER_IMAGE",
        ),
        ({}, "ok", "in the helper image"),
    ],
)
def test_network_tools_are_told_as_they_were_seen(update: dict[str, object], state: str, text: str) -> None:
    """Nothing is said to be in an image that is not there, was not looked into, or lacks it."""
    assert judged(WELL.model_copy(update=update))["network tools"] == (state, text)


def test_the_state_of_a_port_is_what_bind_says() -> None:
    """A port with a listener is in use, without one free, and 0 is any."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert port_state("127.0.0.1", port) == "in use"
    assert port_state("127.0.0.1", port) == "free"
    assert port_state("127.0.0.1", 0) == "any"


def test_a_socket_is_looked_at(tmp_path: Path) -> None:
    """Missing, no socket, usable: each is told apart; TCP has none."""
    path = tmp_path / "docker.sock"
    assert "does not exist" in socket_error(f"unix://{path}")
    path.write_text("")
    assert "is no socket" in socket_error(f"unix://{path}")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert socket_error(f"unix://{path}") == ""
    assert socket_error("tcp://127.0.0.1:2375") == ""


def test_the_command_looks_and_judges(call: Call, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor` prints each check; a problem makes the exit code 1; it undoes nothing."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PORT", "0")
    monkeypatch.setenv("GRPC_PORT", "0")
    well = call("doctor")
    assert (well.code, re.search(r"engine +ok: version 29.1.0", well.out) is not None) == (0, True)
    connect = ScriptedConnect(ScriptedControl())
    tools = Tools(connect=connect, engine_info=no_engine, docker_cli_version=docker_cli_version)
    ill = call("doctor", tools=tools)
    assert (ill.code, "problem: Docker engine at unix:///sock" in ill.out) == (1, True)
    assert [recovery for _, recovery in connect.asked] == [False]


def test_a_store_that_opens_but_cannot_be_read_is_a_problem(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is asked, not only opened: one that is damaged is told with what to do."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    connect = ScriptedConnect(ScriptedControl(ledger_damaged=True))
    said = call("doctor", tools=Tools(connect=connect, engine_info=no_engine, docker_cli_version=docker_cli_version))
    assert re.search(r"store +problem: ledger /l: is damaged; run `test-coordinator recover`", said.out) is not None


@pytest.mark.parametrize(
    ("check", "state", "text"),
    [
        ("degraded: the ledger was damaged: it is kept", "warning", "the ledger was damaged: it is kept"),
        (f"degraded: the ledger was damaged, and {SCAN_OWED}", "problem", f"the ledger was damaged, and {SCAN_OWED}"),
        ("error: disk full", "problem", "disk full"),
    ],
)
def test_what_the_coordinator_says_of_its_store_is_told(
    call: Call, monkeypatch: pytest.MonkeyPatch, check: str, state: str, text: str
) -> None:
    """A ledger that works, but was damaged, is a warning; one that owes a scan, or fails, a problem."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    connect = ScriptedConnect(ScriptedControl(checks={"ledger": check}))
    tools = Tools(connect=connect, engine_info=no_engine, docker_cli_version=docker_cli_version)
    body = json.loads(call("doctor", "--json", tools=tools).out)
    store = next(one for one in body["checks"] if one["name"] == "store")
    assert store == {"name": "store", "state": state, "text": text}


def test_as_json_with_a_store_that_is_held(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--json` has checks and faults; a DATA_DIR held by a process that does not answer is a problem."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    connect = ScriptedConnect(ScriptedControl(), DataDirInUse("held by process 7"))
    tools = Tools(connect=connect, engine_info=no_engine, docker_cli_version=docker_cli_version)
    body = json.loads(call("doctor", "--json", tools=tools).out)
    store = next(check for check in body["checks"] if check["name"] == "store")
    assert store == {"name": "store", "state": "problem", "text": "held by process 7"}
    assert {fault["type"] for fault in body["faults"]} == set(KINDS)
    assert set(body) == {"checks", "abilities", "faults"}
    assert body["abilities"]["helper"] == {"state": "untested", "why": "", "abilities": {}}


def test_secrets_are_not_shown(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store URLs appear with their password masked."""
    monkeypatch.setenv("POSTGRES_URL", "postgresql://me:hunter2@db/x")
    said = call("doctor")
    assert "hunter2" not in said.out + said.err
    assert "postgresql://me:***@db/x" in said.out


def test_the_reference_names_every_ability_and_every_way() -> None:
    """The table of abilities and the shape of `--json` are those of the program."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text()
    doctor = text.partition("### `doctor`")[2].partition("\n### ")[0]
    tried = {name for kind in KINDS.values() for group in kind.abilities for name in group}
    tried |= {name for kind in KINDS.values() for name in kind.options}
    assert {name for name in tried if f"`{name}`" not in doctor} == set()
    assert [way for way in Abilities.model_fields if f'"{way}": {{' not in doctor] == []
