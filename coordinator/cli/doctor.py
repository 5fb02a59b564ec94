"""`doctor`: what is ready here and what is not. Facts are gathered first; the checks only judge them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import anyio
import click

from coordinator.cli import exit_codes
from coordinator.cli.catalogue import fault_kinds
from coordinator.cli.machine import PortState, data_dir_error, port_state, socket_error
from coordinator.cli.output import as_json as json_text
from coordinator.cli.output import pairs, result
from coordinator.cli.tools import Tools, Where, prints_json
from coordinator.faults.abilities import NOT_BUILT, Abilities, Way, status
from coordinator.faults.abilities import State as FaultState
from coordinator.faults.catalogue import KINDS
from coordinator.faults.facts import EngineInfo, Value
from coordinator.plain_text import one_line
from coordinator.record import SCAN_OWED

if TYPE_CHECKING:
    from pydantic import JsonValue

    from coordinator.ports import Control
    from coordinator.settings import Settings

OLDEST_CLI: Final = 25
"""The first major version of the docker command line that speaks to a current engine."""
STRICT_ENGINE: Final = 29
"""The first major version of the engine that refuses an older command line."""

NETWORK_TOOLS: Final = ("ip", "nft", "tc")
NOT_TRIED: Final = "not tried: no engine answers, or no docker command line"

State = Literal["ok", "warning", "problem", "not configured"]


class Findings(Value):
    """What was found, unjudged. An error is empty where there is none."""

    endpoint: str
    socket_error: str = ""
    engine: EngineInfo | None = None
    engine_error: str = ""
    cli_version: str = ""
    cli_error: str = ""
    helper_error: str = ""
    """Why there is no image for helpers and none can be built."""
    helper_lacks: str = ""
    """Which tools for faults of the network are not in it, and what to do."""
    abilities: Abilities = Abilities()
    data_dir: str
    data_dir_error: str = ""
    store_error: str = ""
    store_doubt: str = ""
    """What is wrong with a ledger that works all the same."""
    coordinator: str = ""
    """The URL of the coordinator that holds DATA_DIR; empty when none answers."""
    held: dict[str, int] = {}
    """The ports that it listens on, by their names in `ports`."""
    ports: dict[str, tuple[int, PortState]] = {}
    stores: dict[str, str] = {}
    """Postgres and Redis: the URL with its password masked; empty when not configured."""
    injection_enabled: bool = True
    faults_disabled: tuple[str, ...] = ()


class Check(Value):
    """One judgement, with what to do where something is to be done."""

    name: str
    state: State
    text: str


class Ability(Value):
    """Whether a fault type works here, and why not, or not at its best."""

    type: str
    state: FaultState
    why: str = ""


@click.command()
@prints_json
@click.pass_obj
def doctor(tools: Tools, *, as_json: bool) -> int:
    """Look at engine, socket, docker CLI, store, ports and fault types; exit code 1 when something must be mended."""
    found = anyio.run(gather, tools, tools.load())
    judged, able = checks(found), abilities(found)
    if as_json:
        body: dict[str, JsonValue] = {
            "checks": [check.model_dump(mode="json") for check in judged],
            "abilities": found.abilities.model_dump(mode="json"),
            "faults": [ability.model_dump(mode="json") for ability in able],
        }
        result(json_text(body))
    else:
        lines = [(check.name, f"{check.state}: {check.text}") for check in judged]
        kinds = [(one.type, f"{one.state}: {one.why}" if one.why else one.state) for one in able]
        parts = {"abilities": abilities_told(found.abilities), "faults": kinds}
        told = [
            f"\n{title}\n" + pairs([(f"  {name}", text) for name, text in part])
            for title, part in parts.items()
            if part
        ]
        result(pairs(lines) + "".join(told))
    return exit_codes.FAILED if any(check.state == "problem" for check in judged) else exit_codes.OK


# ---------------------------------------------------------------- judging


def checks(found: Findings) -> tuple[Check, ...]:
    """Every check, in the order in which a person would mend things."""
    return (
        _plain("socket", found.socket_error, found.endpoint),
        _plain("engine", found.engine_error, _engine_text(found.engine)),
        _cli(found),
        *_cgroups(found.engine),
        _way("helper", found, found.abilities.helper),
        _way("helper (processes)", found, found.abilities.processes),
        _way("helper (cgroups)", found, found.abilities.cgroups),
        _way("helper (mounts)", found, found.abilities.mounts),
        _way("host namespaces", found, found.abilities.host),
        _network_tools(found),
        _plain("data dir", found.data_dir_error, found.data_dir),
        _store(found),
        *(_port(name, port, state, found.held) for name, (port, state) in found.ports.items()),
        *(
            Check(name=name, state="ok" if url else "not configured", text=url or "not needed")
            for name, url in found.stores.items()
        ),
        Check(name="injection", state="ok", text="enabled")
        if found.injection_enabled
        else Check(name="injection", state="warning", text="CHAOS_INJECTION_ENABLED is false: every fault is refused"),
    )


def abilities_told(abilities: Abilities) -> list[tuple[str, str]]:
    """What was tried, by name, and how it went by each way; nothing where nothing could be tried."""
    helpers = (abilities.helper, abilities.processes, abilities.cgroups, abilities.mounts)
    ways = {
        "by helper": {name: why for way in helpers for name, why in way.abilities.items()},
        "from this host": abilities.host.abilities,
    }
    lines = []
    for name in dict.fromkeys(name for found in ways.values() for name in found):
        went = {way: found[name] for way, found in ways.items() if name in found}
        same = len(set(went.values())) == 1
        told = [(f"not here: {why}" if why else "works") for why in went.values()]
        text = told[0] if same else "; ".join(f"{way} {each}" for way, each in zip(went, told, strict=True))
        lines.append((name, text))
    return lines


def abilities(found: Findings) -> tuple[Ability, ...]:
    """Every fault type: each needs an engine, some what was tried."""
    return tuple(_ability(kind.type, found) for kind in fault_kinds())


def _ability(kind: str, found: Findings) -> Ability:
    why = ""
    if kind in found.faults_disabled:
        why = "named in FAULTS_DISABLED"
    elif not found.injection_enabled:
        why = "CHAOS_INJECTION_ENABLED is false"
    elif found.engine is None:
        why = "no engine answers"
    elif not found.cli_version:
        why = "no docker command line"
    if why:
        return Ability(type=kind, state="not here", why=why)
    judged = status(KINDS[kind], found.abilities)
    return Ability(type=kind, state=judged.state, why=judged.why)


def _cgroups(engine: EngineInfo | None) -> tuple[Check, ...]:
    if engine is None or not engine.cgroup_version:
        return ()
    text = f"version {engine.cgroup_version}, driver {engine.cgroup_driver or 'unknown'}"
    return (Check(name="cgroups", state="ok", text=text),)


def _network_tools(found: Findings) -> Check:
    """Whether helpers have what faults of the network are made with, as far as it was looked at."""
    state: State = "warning"
    helper = found.abilities.helper
    gone = [tool for tool in NETWORK_TOOLS if f"{tool} is not installed" in helper.abilities.values()]
    if found.engine is None or not found.cli_version:
        text = NOT_TRIED
    elif found.helper_lacks or found.helper_error:
        text = found.helper_lacks or found.helper_error
    elif helper.why == NOT_BUILT:
        state, text = "ok", f"{', '.join(NETWORK_TOOLS)} are on this machine, from which the helper image is built"
    elif helper.state != "tried":
        text = f"not tried: {helper.why}"
    elif gone:
        text = f"the helper image has no {', '.join(gone)}, so faults of the network do not work: see HELPER_IMAGE"
    else:
        state, text = "ok", "in the helper image"
    return Check(name="network tools", state=state, text=text)


def _way(name: str, found: Findings, way: Way) -> Check:
    """A way that is not there is no problem by itself: what follows from it is told of each fault."""
    if found.engine is None or not found.cli_version:
        return Check(name=name, state="warning", text=NOT_TRIED)
    if way.state == "tried":
        lacking = sum(1 for why in way.abilities.values() if why)
        text = f"tried: {len(way.abilities) - lacking} of {len(way.abilities)} abilities work, see below"
        return Check(name=name, state="ok", text=text)
    if name != "host namespaces":
        return Check(name=name, state="ok" if way.why == NOT_BUILT else "warning", text=way.why)
    return Check(name=name, state="ok", text=f"not entered from here, helpers do it: {way.why}")


def _plain(name: str, error: str, text: str) -> Check:
    return Check(name=name, state="problem" if error else "ok", text=error or text)


def _store(found: Findings) -> Check:
    if found.store_doubt and not found.store_error:
        return Check(name="store", state="warning", text=found.store_doubt)
    text = f"held by the coordinator at {found.coordinator}" if found.coordinator else "opens"
    return _plain("store", found.store_error, text)


def _engine_text(engine: EngineInfo | None) -> str:
    if engine is None:
        return ""
    return f"version {engine.version}, API {engine.api_version}, {engine.operating_system}".rstrip(", ")


def _cli(found: Findings) -> Check:
    version, engine = found.cli_version, found.engine
    if not version:
        return Check(name="docker cli", state="problem", text=found.cli_error)
    if _major(version) >= OLDEST_CLI:
        return Check(name="docker cli", state="ok", text=f"version {version}")
    if engine is not None and _major(engine.version) >= STRICT_ENGINE:
        text = f"version {version} is too old for engine {engine.version}: install {OLDEST_CLI} or newer"
        return Check(name="docker cli", state="problem", text=text)
    text = f"version {version} will do here; a current engine needs {OLDEST_CLI} or newer"
    return Check(name="docker cli", state="warning", text=text)


def _port(name: str, port: int, state: PortState, held: Mapping[str, int]) -> Check:
    variable = name.upper().replace(" ", "_")
    match state:
        case "any":
            return Check(name=name, state="ok", text="any free one")
        case "free":
            return Check(name=name, state="ok", text=f"{port} is free")
        case "in use" if held.get(name) == port:
            return Check(name=name, state="ok", text=f"{port} is held while this coordinator runs")
        case "in use" if name in held:
            text = f"{port} is in use, and not by the coordinator that runs, which has {held[name]}: set {variable}"
            return Check(name=name, state="problem", text=text)
        case "in use":
            return Check(name=name, state="problem", text=f"{port} is in use by another program: set {variable}")
        case "not allowed":
            return Check(name=name, state="problem", text=f"{port} is not allowed for this user: set {variable}")


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


# ---------------------------------------------------------------- gathering


async def gather(tools: Tools, settings: Settings) -> Findings:
    """Look, changing nothing but making DATA_DIR where it is missing."""
    from coordinator.settings import masked

    engine, engine_error, cli, cli_error = await _docker(tools, settings)
    looked = _Looked()
    async with anyio.create_task_group() as group:
        group.start_soon(looked.at_store, tools, settings)
        if engine is not None and cli:
            group.start_soon(looked.at_image, tools, settings)
            group.start_soon(looked.at_abilities, tools, settings)
    return Findings(
        endpoint=masked(settings.docker_host),
        socket_error=socket_error(settings.docker_host),
        engine=engine,
        engine_error=engine_error,
        cli_version=cli,
        cli_error=cli_error,
        helper_error=looked.image[0],
        helper_lacks=looked.image[1],
        abilities=looked.abilities,
        data_dir=str(settings.data_dir),
        data_dir_error=data_dir_error(settings.data_dir),
        store_error=looked.store[1],
        store_doubt=looked.store[2],
        coordinator=looked.store[0],
        held=looked.held,
        ports={
            name: (port, port_state(settings.host, port))
            for name, port in (("http port", settings.http_port), ("grpc port", settings.grpc_port))
        },
        stores={"postgres": masked(settings.postgres_url), "redis": masked(settings.redis_url)},
        injection_enabled=settings.chaos_injection_enabled,
        faults_disabled=settings.faults_disabled,
    )


async def _docker(tools: Tools, settings: Settings) -> tuple[EngineInfo | None, str, str, str]:
    """Engine and its error, version of the command line and its error."""
    from coordinator.errors import CoordinatorError

    engine, engine_error, cli, cli_error = None, "", "", ""
    try:
        engine = await tools.engine_info(settings)
    except CoordinatorError as error:
        engine_error = exit_codes.told(error).lines[0].removeprefix("test-coordinator: ")
    try:
        cli = await tools.docker_cli_version(settings)
    except CoordinatorError as error:
        cli_error = exit_codes.told(error).lines[0].removeprefix("test-coordinator: ")
    return engine, engine_error, cli, cli_error


async def _store_trouble(control: Control) -> tuple[str, str]:
    """Why the ledger cannot be relied on; and what is wrong with one that can. Asks it: one that opens may not read."""
    from coordinator.client import HttpControl
    from coordinator.errors import CoordinatorError

    try:
        if isinstance(control, HttpControl):
            await control.refresh()
        await control.faults()
        check = control.readiness().checks.get("ledger", "ok")
    except CoordinatorError as error:
        return one_line(str(error)), ""
    state, _, why = check.partition(": ")
    return (one_line(why), "") if state == "error" or SCAN_OWED in why else ("", one_line(why))


@dataclass(slots=True)
class _Looked:
    """What is looked at all at once, as each takes a while."""

    store: tuple[str, str, str] = ("", "", "")
    """The URL of the coordinator that holds DATA_DIR, why the ledger cannot be used, and what is wrong with it else."""
    held: dict[str, int] = field(default_factory=dict)
    image: tuple[str, str] = ("", "")
    abilities: Abilities = field(default_factory=Abilities)

    async def at_store(self, tools: Tools, settings: Settings) -> None:
        from coordinator.cli.connection import endpoint
        from coordinator.client import HttpControl
        from coordinator.errors import CoordinatorError

        async with AsyncExitStack() as stack:
            try:
                control = await stack.enter_async_context(tools.connect(settings, Where(), recovery=False))
            except CoordinatorError as error:
                self.store = ("", one_line(str(error)), "")
                return
            running = endpoint(settings) if isinstance(control, HttpControl) else None
            self.held = {} if running is None else {f"{name} port": port for name, port in running.ports.items()}
            problem, doubt = await _store_trouble(control)
            self.store = ("" if running is None else running.http, problem, doubt)

    async def at_image(self, tools: Tools, settings: Settings) -> None:
        self.image = await tools.helper_image_error(settings)

    async def at_abilities(self, tools: Tools, settings: Settings) -> None:
        from coordinator.errors import CoordinatorError

        try:
            self.abilities = await tools.try_abilities(settings)
        except CoordinatorError as error:
            lost = Way(state="untested", why=exit_codes.told(error).lines[0].removeprefix("test-coordinator: "))
            self.abilities = Abilities(helper=lost, processes=lost, cgroups=lost, mounts=lost, host=lost)
