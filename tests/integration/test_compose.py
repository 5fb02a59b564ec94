"""The stack of orchestrator-docker/, brought up for real: named instances, stores, Prometheus."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
import yaml

from tests.conftest import ROOT
from tests.integration.coordinator_container import CoordinatorContainer, coordinator_image
from tests.integration.coordinator_process import eventually, scenario
from tests.integration.sandbox import Container, DockerFailed, Sandbox, docker
from tests.integration.services import free_port

# The first test builds the images; the stack comes up once for all tests of this module.
pytestmark = pytest.mark.timeout(900)

FOLDER = ROOT / "orchestrator-docker"
SCRAPED_WITHIN_S = 90.0
INSTANCES = {
    "test-coordinator": ("172.20.0.87", 8087, 50055),
    "test-coordinator-Chaos1": ("172.20.0.88", 8088, 50056),
    "test-coordinator-Chaos2": ("172.20.0.89", 8089, 50057),
}
# Instance to Postgres schema and Redis namespace.
DERIVED = {
    "test-coordinator": ("test", "test"),
    "test-coordinator-Chaos1": ("test_coordinator_chaos1", "test_coordinator:Chaos1"),
    "test-coordinator-Chaos2": ("test_coordinator_chaos2", "test_coordinator:Chaos2"),
}
PROMETHEUS_FOLDER = FOLDER / "prometheus"
DB_PASSWORD = "made-up-for-postgres"
REDIS_PASSWORD = "made-up-for-redis"


@dataclass(frozen=True, slots=True)
class Stack:
    """A compose project on a copy of the folder, so that its data lies there."""

    folder: Path
    environment: Mapping[str, str]

    def compose(self, *argv: str) -> str:
        """Standard output of a compose command, with every profile but Grafana's."""
        command = ["docker", "compose"] if has_compose_plugin() else ["docker-compose"]
        done = subprocess.run(
            [*command, "--profile", "multi", *argv], cwd=self.folder, env=os.environ | dict(self.environment),
            check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"compose {argv[0]}: {done.stderr[-4000:]}"
        return done.stdout

    def container(self, service: str) -> Container:
        """The container of a service."""
        return Container(self.compose("ps", "--quiet", service).strip(), service)

    def coordinator(self, instance: str) -> CoordinatorContainer:
        """The container of an instance."""
        return CoordinatorContainer(self.container(instance.lower()).id, instance)

    def ask_prometheus(self, query: str) -> list[dict[str, Any]]:
        """The series of an instant query, as Prometheus returns them."""
        url = f"http://127.0.0.1:{self.environment['PROMETHEUS_PORT']}/api/v1/query?{urlencode({'query': query})}"
        answer = httpx.get(url, timeout=30, trust_env=False).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


def has_compose_plugin() -> bool:
    """Whether `docker compose` is there."""
    return subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def stack(service_images: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack, up and healthy."""
    if not has_compose_plugin() and shutil.which("docker-compose") is None:
        pytest.fail("no docker compose: tools/provision.sh compose")
    folder = tmp_path_factory.mktemp("stack") / "orchestrator-docker"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("volumes", ".env"))
    environment = {
        **service_images,
        "COMPOSE_PROJECT_NAME": f"tc-test-{uuid4().hex[:8]}",
        "TEST_COORDINATOR_IMAGE": coordinator_image(),
        "TEST_COORDINATOR_DB_PASSWORD": DB_PASSWORD,
        "REDIS_PASSWORD": REDIS_PASSWORD,
        "PROMETHEUS_PORT": str(free_port()),
    }
    made = Stack(folder, environment)
    try:
        made.compose("up", "--detach")
        for instance in INSTANCES:
            made.coordinator(instance).wait_healthy()
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "20")


def test_the_singleton_is_what_the_plan_says() -> None:
    """One service with the planned address, ports on loopback, checks, grace, host gateway, folders and environment."""
    services = yaml.safe_load((FOLDER / "docker-compose.yml").read_text())["services"]
    service = services["test-coordinator"]
    assert service["ports"] == ["127.0.0.1:8087:8080", "127.0.0.1:50055:50051"]
    assert service["networks"]["trading-ecosystem"]["ipv4_address"] == "172.20.0.87"
    assert service["stop_grace_period"] == "60s"
    assert service["depends_on"] == {name: {"condition": "service_healthy"} for name in ("postgres", "redis")}
    assert service["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert service["volumes"] == [
        "/var/run/docker.sock:/var/run/docker.sock",
        "./volumes/test-coordinator/data:/var/lib/test-coordinator",
        "./volumes/test-coordinator/logs:/var/lib/test-coordinator/logs",
    ]
    identity = {"SERVICE_NAME": "test-coordinator", "SERVICE_INSTANCE_NAME": "test-coordinator"}
    assert identity.items() <= service["environment"].items()
    assert service["environment"]["ENVIRONMENT"] == "docker"
    # Started by its name or its profile only.
    assert {name for name, other in services.items() if "multi" in other.get("profiles", [])} == {
        "test-coordinator-chaos1", "test-coordinator-chaos2",
    }  # fmt: skip


def test_prometheus_takes_its_configuration_and_the_alerts_fire_as_told(service_images: Mapping[str, str]) -> None:
    """`promtool` accepts the configuration with its rules, and the rules' own tests pass."""
    inside = "/etc/prometheus"
    rules = f"{inside}/rules"
    run = ("run", "--rm", "--volume", f"{PROMETHEUS_FOLDER}:{inside}:ro", "--entrypoint", "promtool")
    checked = docker(*run, service_images["PROMETHEUS_IMAGE"], "check", "config", f"{inside}/prometheus.yml")
    assert "SUCCESS: 5 rules found" in checked
    docker(*run, service_images["PROMETHEUS_IMAGE"], "test", "rules", f"{rules}/test-coordinator.test.yml")


def test_every_instance_answers_as_itself(stack: Stack) -> None:
    """Singleton, Chaos1 and Chaos2 answer on their ports with their names, on their addresses, with both stores."""
    for instance, (address, http_port, grpc_port) in INSTANCES.items():
        container = stack.coordinator(instance)
        assert container.address == address
        assert (container.published(8080), container.published(50051)) == (http_port, grpc_port)
        health = httpx.get(f"http://127.0.0.1:{http_port}/api/v1/health", timeout=30, trust_env=False).json()
        assert (health["instance"], health["environment"]) == (instance, "docker")
        eventually(partial(has_both_stores, http_port), f"the stores of {instance}")


def has_both_stores(http_port: int) -> bool:
    """Whether a coordinator is connected to Postgres and Redis."""
    checks = httpx.get(f"http://127.0.0.1:{http_port}/api/v1/ready", timeout=30, trust_env=False).json()["checks"]
    return bool(checks["postgres"] == checks["redis"] == "ok")


def test_every_instance_keeps_its_own_folder(stack: Stack) -> None:
    """Ledger, token and logs of each lie in its own folders, owned by the image's user."""
    for instance in INSTANCES:
        own = stack.folder / "volumes" / instance
        assert {(own / "data").stat().st_uid, (own / "logs").stat().st_uid} == {10001}
        names = stack.coordinator(instance).run("sh", "-c", "cd /var/lib/test-coordinator; ls . logs").split()
        assert {"ledger.db", "api-token", "test-coordinator.jsonl"} <= set(names)
    tokens = {stack.coordinator(instance).token for instance in INSTANCES}
    assert len(tokens) == len(INSTANCES)


def test_prometheus_scrapes_them_with_their_labels(stack: Stack) -> None:
    """Each is up in Prometheus under service, instance_name and service_type, and says the same of itself."""

    def up() -> dict[str, tuple[str, str, str]]:
        series = stack.ask_prometheus('up{service="test-coordinator"}')
        return {
            one["metric"]["instance_name"]: (one["metric"]["service"], one["metric"]["service_type"], one["value"][1])
            for one in series
        }

    eventually(
        lambda: set(up()) == set(INSTANCES) and {v[2] for v in up().values()} == {"1"}, "the scrapes", SCRAPED_WITHIN_S
    )
    assert up() == {
        "test-coordinator": ("test-coordinator", "singleton", "1"),
        "test-coordinator-Chaos1": ("test-coordinator", "multi-instance", "1"),
        "test-coordinator-Chaos2": ("test-coordinator", "multi-instance", "1"),
    }
    info = [one["metric"] for one in stack.ask_prometheus("test_coordinator_info")]
    # `instance` is Prometheus' own label, so the coordinator's arrives with a prefix.
    assert {(one["exported_instance"], one["exported_service"]) for one in info} == {
        (one["instance_name"], "test-coordinator") for one in info
    }
    assert len(info) == len(INSTANCES)


def test_dashboard_and_alerts_ask_for_metrics_that_are_there(stack: Stack) -> None:
    """Prometheus understands every query of the dashboard, and each metric in it or in an alert is one we export."""
    dashboard = json.loads((FOLDER / "grafana" / "dashboards" / "test-coordinator.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 10
    for query in queries:
        stack.ask_prometheus(query.replace("$instance", ".*").replace("$__rate_interval", "1m"))
    rules = yaml.safe_load((PROMETHEUS_FOLDER / "rules" / "test-coordinator.yml").read_text())
    queries += [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    asked = {name.removesuffix("_bucket") for query in queries for name in re.findall(r"test_coordinator_\w+", query)}
    port = INSTANCES["test-coordinator"][1]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30, trust_env=False).text
    exported = set(re.findall(r"^# HELP (\S+) ", text, flags=re.MULTILINE))
    assert asked <= exported


def test_its_postgres_role_makes_schemas_of_its_own_and_nothing_else(stack: Stack) -> None:
    """The role creates a schema and tables in it; public, other databases and other roles are closed to it."""
    url = f"postgresql://test_coordinator:{DB_PASSWORD}@127.0.0.1/trading_ecosystem"
    postgres = stack.container("postgres")

    def sql(statement: str, address: str = url) -> str:
        return docker("exec", postgres.id, "psql", "-qtA", "-v", "ON_ERROR_STOP=1", address, "-c", statement)

    assert (
        sql("CREATE SCHEMA probe CREATE TABLE t (n int); SELECT count(*) FROM probe.t; DROP SCHEMA probe CASCADE")
        == "0"
    )
    for forbidden in (
        "CREATE TABLE public.t (n int)", "CREATE ROLE other", "CREATE DATABASE other", "ALTER SYSTEM SET port = 1",
        "SELECT rolpassword FROM pg_authid", "COPY (SELECT 1) TO PROGRAM 'true'",
    ):  # fmt: skip
        with pytest.raises(DockerFailed, match=r"permission denied|must be"):
            sql(forbidden)


def test_its_redis_user_reaches_its_own_keys_and_nothing_else(stack: Stack) -> None:
    """The user writes below the namespaces and the registry; other keys, administration and strangers are refused."""
    redis = stack.container("redis")

    def cli(*argv: str, user: str = "test-coordinator", password: str = REDIS_PASSWORD) -> str:
        return docker("exec", redis.id, "redis-cli", "--no-auth-warning", "--user", user, "--pass", password, *argv)

    for key in ("test:probe", "test_coordinator:Chaos1:probe", "services:test-coordinator:probe"):
        assert cli("HSET", key, "a", "1") == "1"
        assert cli("EXPIRE", key, "60") == "1"
        assert cli("DEL", key) == "1"
    assert cli("XADD", "test:events", "MAXLEN", "~", "10", "*", "a", "1")
    assert cli("DEL", "test:events") == "1"
    for forbidden in (("SET", "other", "1"), ("HGETALL", "services:other:x"), ("FLUSHALL",), ("CONFIG", "GET", "*")):
        assert "NOPERM" in cli(*forbidden)
    assert cli("PING", user="health", password="any") == "PONG"
    assert "NOPERM" in cli("GET", "test:probe", user="health", password="any")
    assert "NOAUTH" in docker("exec", redis.id, "redis-cli", "PING")


def test_an_instance_breaks_a_neighbour_and_not_its_own_stores(stack: Stack, containers: Sandbox) -> None:
    """Chaos1 pauses and heals a container of the machine; the Postgres it writes to is no target."""
    chaos = stack.coordinator("test-coordinator-Chaos1")
    neighbour = containers.run("neighbour")
    postgres = stack.container("postgres").look("{{.Name}}").removeprefix("/")
    definition = scenario([{"type": "container_pause"}], names=[neighbour.name, postgres], duration="1s")
    execution = chaos.wait_finished(chaos.submit(definition))
    assert (execution["verdict"], execution["undo"]) == ("passed", "complete"), execution
    assert [target["name"] for target in execution["targets"]["t"]] == [neighbour.name]


def test_each_instance_keeps_to_its_schema_and_its_namespace(stack: Stack, containers: Sandbox) -> None:
    """Each instance breaks a neighbour: its execution is in its own schema alone, and no other schema or key exists."""
    ran = {}
    for instance in INSTANCES:
        coordinator, neighbour = stack.coordinator(instance), containers.run("neighbour")
        pause = scenario([{"type": "container_pause"}], names=[neighbour.name], duration="1s")
        ran[instance] = coordinator.submit(pause)
    for instance, execution_id in ran.items():
        execution = stack.coordinator(instance).wait_finished(execution_id)
        assert (execution["verdict"], execution["undo"]) == ("passed", "complete"), execution
    url = f"postgresql://test_coordinator:{DB_PASSWORD}@127.0.0.1/trading_ecosystem"
    postgres, redis = stack.container("postgres"), stack.container("redis")

    def sql(statement: str) -> set[str]:
        return set(docker("exec", postgres.id, "psql", "-qtA", "-v", "ON_ERROR_STOP=1", url, "-c", statement).split())

    def stored() -> bool:
        query = "SELECT id FROM {schema}.executions"
        found = {name: sql(query.format(schema=schema)) for name, (schema, _) in DERIVED.items()}
        others = {name: set(ran.values()) - {execution_id} for name, execution_id in ran.items()}
        assert not any(found[name] & others[name] for name in ran), found
        return all(execution_id in found[name] for name, execution_id in ran.items())

    eventually(stored, "the history in Postgres")
    built_in = {"information_schema", "pg_catalog", "pg_toast", "public"}
    assert sql("SELECT nspname FROM pg_namespace") - built_in == {schema for schema, _ in DERIVED.values()}
    assert not sql("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    user = ("--no-auth-warning", "--user", "test-coordinator", "--pass", REDIS_PASSWORD)
    keys = docker("exec", redis.id, "redis-cli", *user, "--scan").split()
    registry = {f"services:test-coordinator:{name}" for name in INSTANCES}
    assert registry <= set(keys)
    beginnings = tuple(f"{namespace}:" for _, namespace in DERIVED.values())
    assert all(key.startswith(beginnings) for key in set(keys) - registry), keys


def test_the_stack_stops_in_time(stack: Stack) -> None:
    """`compose stop` ends every coordinator with 0 and `compose start` brings it back healthy, with its ledger."""
    services = [instance.lower() for instance in INSTANCES]
    stack.compose("stop", *services)
    assert [stack.coordinator(instance).look("{{.State.ExitCode}}") for instance in INSTANCES] == ["0", "0", "0"]
    stack.compose("start", *services)
    for instance in INSTANCES:
        stack.coordinator(instance).wait_healthy()
