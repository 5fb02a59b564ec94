"""The singleton and two named instances side by side on one engine, one Postgres and one Redis."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import redis

from coordinator.reports import FORMATS
from tests.integration.coordinator_process import Coordinator, coordinator, eventually, scenario
from tests.integration.remembered import (
    TABLES,
    client_of,
    command,
    in_ledger,
    in_postgres,
    keys,
    rows,
    schemas,
    streamed,
    told_in_order,
)
from tests.integration.sandbox import Container, Sandbox, docker
from tests.integration.services import PostgresServer, RedisServer

pytestmark = pytest.mark.timeout(300)  # three coordinators, and stores of their own, on a machine that may be busy

SINGLETON, CHAOS1, CHAOS2 = "test-coordinator", "test-coordinator-Chaos1", "test-coordinator-Chaos2"
SCHEMAS = {SINGLETON: "test", CHAOS1: "test_coordinator_chaos1", CHAOS2: "test_coordinator_chaos2"}
NAMESPACES = {SINGLETON: "test", CHAOS1: "test_coordinator:Chaos1", CHAOS2: "test_coordinator:Chaos2"}
SECRETS = {
    "postgres": "pg-s3cret-0",
    "redis": "redis-s3cret-1",
    "token": "token-s3cret-2",
    "scenario": "scenario-s3cret-3",
}
ROLE = "coordinators"
USER = "coordinators"


@dataclass(frozen=True, slots=True)
class Stage:
    """Three coordinators on the same stores."""

    postgres: PostgresServer
    redis: RedisServer
    instances: dict[str, Coordinator]
    folder: Path
    service: str
    """The address of an HTTP service that wants the scenario's secret."""


class Service(BaseHTTPRequestHandler):
    """Answers 200 to whoever has the secret."""

    def do_GET(self) -> None:
        """Look at the header."""
        self.send_response(200 if self.headers["X-Key"] == SECRETS["scenario"] else 403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def prepare(postgres: PostgresServer, redis_server: RedisServer) -> dict[str, str]:
    """A role and a user with passwords and no more rights than the instances need; what the instances are told."""
    command(
        postgres.url,
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{SECRETS['postgres']}'",
        f"GRANT CREATE ON DATABASE postgres TO {ROLE}",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "CREATE SCHEMA somebody",
        "CREATE TABLE somebody.accounts (id int)",
    )
    rules = postgres.folder / "data" / "pg_hba.conf"
    rules.write_text(f"host all {ROLE} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    command(postgres.url, "SELECT pg_reload_conf()")
    patterns = ["~services:test-coordinator:*", "~test:*", "~test_coordinator:*"]
    rights = ["-@all", "+@connection", "+@read", "+@write", "+@transaction", "-@dangerous"]
    with client_of(redis_server.url) as administrator:
        administrator.execute_command("ACL", "SETUSER", USER, "on", f">{SECRETS['redis']}", *patterns, *rights)
        administrator.set("somebody:key", "theirs")
    return {
        "POSTGRES_URL": postgres.url.replace("tester@", f"{ROLE}:{SECRETS['postgres']}@"),
        "REDIS_URL": redis_server.url.replace("redis://", f"redis://{USER}:{SECRETS['redis']}@"),
        "API_TOKEN": SECRETS["token"],
        "SCENARIO_SECRET_KEY": SECRETS["scenario"],
    }


def with_token(made: Coordinator) -> Coordinator:
    """The token lies where the commands of the tests look for it, too."""
    made.data_dir.mkdir(parents=True, exist_ok=True)
    (made.data_dir / "api-token").write_text(SECRETS["token"])
    (made.data_dir / "api-token").chmod(0o600)
    return made


@pytest.fixture(scope="module")
def stage(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All three up, once for all tests here: what one does must not show in another."""
    folder = tmp_path_factory.mktemp("named")
    with ExitStack() as stack:
        stores = (PostgresServer(), RedisServer())
        for server in stores:
            stack.callback(server.close)
            server.start()
        told = prepare(*stores)
        service = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Service))
        Thread(target=service.serve_forever, daemon=True).start()
        stack.callback(service.shutdown)
        instances = {}
        for name in SCHEMAS:
            instances[name] = stack.enter_context(coordinator(folder / name, SERVICE_INSTANCE_NAME=name, **told))
            with_token(instances[name]).start()
        yield Stage(*stores, instances, folder, f"http://127.0.0.1:{service.server_port}/")
        for made in instances.values():
            made.signal(15)
        assert [made.wait() for made in instances.values()] == [0, 0, 0]
        assert not {key for key in keys(stores[1].url) if key.startswith("services:")}


def paused(on: Coordinator, target: Container) -> str:
    """An execution that holds the target paused."""
    execution_id = on.submit(scenario([{"type": "container_pause"}], names=[target.name]))
    eventually(lambda: [fault["state"] for fault in on.execution(execution_id)["faults"]] == ["active"], "the effect")
    return execution_id


def finished(on: Coordinator, execution_id: str) -> dict[str, object]:
    """The execution at its end."""
    eventually(lambda: on.execution(execution_id)["state"] == "finished", "the end")
    return on.execution(execution_id)


def probed(service: str, target: Container) -> dict[str, object]:
    """A short execution with a probe that sends the secret."""
    header = {"X-Key": {"secret": "KEY"}}
    probe = {"type": "http", "url": service, "every": "100ms", "headers": header, "expect": {"status": 200}}
    made = scenario([{"type": "container_pause"}], names=[target.name], duration="700ms", probes={"s": probe})
    made["phases"][0]["assert"] = [{"probe": "s", "availability": ">= 50%"}]  # type: ignore[index]  # a JSON tree
    return made


def drained(stage: Stage, name: str) -> None:
    """Wait until Postgres and Redis have all that this instance's ledger says."""
    folder = stage.instances[name].data_dir
    schema, namespace = SCHEMAS[name], NAMESPACES[name]
    eventually(lambda: in_postgres(stage.postgres.url, schema) == in_ledger(folder), "the history")
    last = told_in_order(folder)[-1:]
    eventually(lambda: [event["uid"] for event in streamed(stage.redis.url, namespace)][-1:] == last, "the events")


def registered(client: redis.Redis, name: str) -> dict[str, str]:
    """What the registry says of an instance, once that is well."""
    key = f"services:test-coordinator:{name}"
    eventually(lambda: client.hget(key, "status") == "healthy", "its health")
    found = {str(name): str(value) for name, value in client.hgetall(key).items()}
    before = found["last_heartbeat"]
    eventually(lambda: str(client.hget(key, "last_heartbeat")) > before, "the next heartbeat")
    return found


def values(client: redis.Redis, key: str) -> object:
    """What is behind a key, whatever it is."""
    kind = client.type(key)
    return client.hgetall(key) if kind == "hash" else client.xrange(key) if kind == "stream" else client.get(key)


def test_each_has_its_own_schema_and_namespace(stage: Stage, containers: Sandbox) -> None:
    """Each plays an execution; then there are the three schemas and the three namespaces of the contract, the registry,
    and what was there before, untouched: nothing else.
    """
    played = {}
    for name, served in stage.instances.items():
        played[name] = served.submit(probed(stage.service, containers.run("target")))
    for name, served in stage.instances.items():
        found = finished(served, played[name])
        assert found["verdict"] == "passed", found["reason"]
        drained(stage, name)
        mine = in_postgres(stage.postgres.url, SCHEMAS[name])
        assert list(mine.executions) == [played[name]]
        assert {event["execution"] for event in streamed(stage.redis.url, NAMESPACES[name])} == {played[name]}
        owner = rows(stage.postgres.url, "SELECT service, instance FROM coordinator", SCHEMAS[name])
        assert owner == [(SINGLETON, name)]
    wanted = {schema: list(TABLES) for schema in SCHEMAS.values()}
    assert schemas(stage.postgres.url) == {**wanted, "public": [], "somebody": ["accounts"]}
    assert keys(stage.redis.url) == {
        "somebody:key",
        *(f"services:test-coordinator:{name}" for name in NAMESPACES),
        *(f"{namespace}:{key}" for namespace in NAMESPACES.values() for key in ("events", "feed")),
    }


def test_each_announces_itself(stage: Stage) -> None:
    """The registry names each with its own ports, and what was announced answers there."""
    ports = set()
    with client_of(stage.redis.url) as client:
        for name, served in stage.instances.items():
            found = registered(client, name)
            assert set(found) == {
                "name", "instance", "version", "environment", "host", "http_port", "grpc_port", "status",
                "last_heartbeat",
            }  # fmt: skip
            assert (found["name"], found["instance"]) == (SINGLETON, name)
            assert served.url == f"http://{found['host']}:{found['http_port']}"
            assert served.call("GET", "/api/v1/health").json()["instance"] == name
            ports |= {found["http_port"], found["grpc_port"]}
    assert len(ports) == 6


def test_data_and_logs_are_apart(stage: Stage) -> None:
    """Every line of an instance's log and its metrics name that instance and no other."""
    for name, served in stage.instances.items():
        lines = (served.data_dir / "logs" / "test-coordinator.jsonl").read_text().splitlines()
        assert {json.loads(line)["instance"] for line in lines} == {name}
        metrics = served.call("GET", "/metrics").text
        assert f'instance="{name}"' in metrics
        with closing(sqlite3.connect(served.data_dir / "ledger.db")) as ledger:
            assert ledger.execute("SELECT count(*) FROM executions").fetchone() == (1,)


def test_a_target_is_refused_to_the_others(stage: Stage, containers: Sandbox) -> None:
    """What one holds is not injected by the others, which name the holder; afterwards they may have it."""
    target = containers.run("target")
    holder = stage.instances[CHAOS1]
    held = paused(holder, target)
    for name in (SINGLETON, CHAOS2):
        served = stage.instances[name]
        refused = finished(served, served.submit(scenario([{"type": "container_pause"}], names=[target.name])))
        assert refused["verdict"] != "passed"
        assert CHAOS1 in str(refused["reason"])
        assert target.status == "paused"
    holder.call("DELETE", f"/api/v1/executions/{held}")
    finished(holder, held)
    assert target.status == "running"
    other = stage.instances[CHAOS2]
    mine = paused(other, target)
    other.call("DELETE", f"/api/v1/executions/{mine}")
    assert finished(other, mine)["undo"] == "complete"


def test_each_recovers_only_its_own_faults(stage: Stage, containers: Sandbox) -> None:
    """After a SIGKILL of two, the one that comes back undoes its own fault and leaves the other's to the other."""
    first, second = containers.run("first"), containers.run("second")
    ones, others = stage.instances[CHAOS1], stage.instances[CHAOS2]
    mine, theirs = paused(ones, first), paused(others, second)
    ones.kill()
    others.kill()
    ones.start()
    assert (first.status, second.status) == ("running", "paused")
    assert ones.call("GET", "/api/v1/faults").json()["items"] == []
    locks = docker("volume", "ls", "--quiet", "--filter", "label=test-coordinator.role=lock").split()
    assert f"tc-{second.id}" in locks
    assert f"tc-{first.id}" not in locks
    others.start()
    assert second.status == "running"
    for served, execution_id in ((ones, mine), (others, theirs)):
        assert (finished(served, execution_id)["verdict"], served.execution(execution_id)["undo"]) == (
            "aborted", "complete",
        )  # fmt: skip


def test_the_past_of_an_instance_is_its_own(stage: Stage, tmp_path: Path) -> None:
    """A fresh DATA_DIR finds the executions of its own instance in Postgres, and none of another's."""
    known = [item["id"] for item in stage.instances[CHAOS1].call("GET", "/api/v1/executions").json()["items"]]
    others = [item["id"] for item in stage.instances[CHAOS2].call("GET", "/api/v1/executions").json()["items"]]
    settings = dict(stage.instances[CHAOS1].settings)
    with coordinator(tmp_path, **settings) as fresh:
        listed = fresh.command("report", known[-1], "--format", "json")
        assert json.loads(listed.stdout)["id"] == known[-1]
        assert fresh.command("report", others[-1]).returncode != 0


def test_names_that_collide_are_refused_with_one_line(stage: Stage, tmp_path: Path) -> None:
    """An instance whose name differs only in case would get another's schema: it ends with 2, writes nothing."""
    collides = "test-coordinator-chaos1"
    settings = {**stage.instances[CHAOS1].settings, "SERVICE_INSTANCE_NAME": collides}
    before = rows(stage.postgres.url, "SELECT ledger, position FROM feeds ORDER BY 1", SCHEMAS[CHAOS1])
    with coordinator(tmp_path, **settings) as second:
        done = with_token(second).command("serve")
    assert done.returncode == 2
    wanted = f"schema test_coordinator_chaos1 belongs to instance {CHAOS1}, and this is {collides}"
    (line,) = done.stderr.splitlines()
    assert wanted in line
    assert rows(stage.postgres.url, "SELECT ledger, position FROM feeds ORDER BY 1", SCHEMAS[CHAOS1]) == before


def test_a_name_that_is_too_long_is_refused_with_one_line(tmp_path: Path) -> None:
    """64 characters: exit status 2, one line with the variable, the value and what is allowed."""
    name = "test-coordinator-" + "x" * 47
    with coordinator(tmp_path, SERVICE_INSTANCE_NAME=name) as made:
        done = made.command("serve")
    assert len(name) == 64
    assert done.returncode == 2
    allowed = "letters, digits and hyphens, starting and ending with a letter or digit, at most 63 characters"
    told = f"test-coordinator: SERVICE_INSTANCE_NAME: {name} is not allowed; allowed: {allowed}"
    assert done.stderr.splitlines() == [told]


def test_no_secret_is_written_anywhere(stage: Stage) -> None:
    """After all of the above no password, no token and no scenario's secret is in any file of the instances, their
    output, answers, reports and metrics, nor in Postgres or Redis.
    """
    places: dict[str, bytes] = {}
    for served in stage.instances.values():
        for path in served.data_dir.parent.rglob("*"):
            if path.is_file() and path.name != "api-token":
                places[str(path)] = path.read_bytes()
        for item in served.call("GET", "/api/v1/executions").json()["items"]:
            for form in FORMATS:
                call = f"/api/v1/executions/{item['id']}/report?format={form}"
                places[call] = served.call("GET", call).content
        for call in ("/metrics", "/api/v1/ready", "/api/v1/actors", "/api/v1/faults"):
            places[call] = served.call("GET", call).content
        places["status"] = served.command("status").stdout.encode()
        places["doctor"] = served.command("doctor").stdout.encode()
    for schema in SCHEMAS.values():
        places[f"schema {schema}"] = repr(in_postgres(stage.postgres.url, schema)).encode()
        places[f"scenarios {schema}"] = repr(rows(stage.postgres.url, "SELECT * FROM scenarios", schema)).encode()
    with client_of(stage.redis.url) as client:
        for key in keys(stage.redis.url):
            places[f"key {key}"] = repr(values(client, key)).encode()
    assert any(b"container_pause" in content for content in places.values())
    found = {
        name: place for place, text in places.items() for name, secret in SECRETS.items() if secret.encode() in text
    }
    assert found == {}
