"""The coordinator's own Postgres and Redis as victims: protected unless a scenario says so, and missed by nobody."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.coordinator_process import Coordinator, coordinator, eventually, scenario
from tests.integration.remembered import in_ledger, in_postgres
from tests.integration.sandbox import Container, Sandbox
from tests.integration.services import free_port

pytestmark = pytest.mark.timeout(600)
ALL_OK = {"postgres": "ok", "redis": "ok"}
PASSWORD = "made-up-for-own-stores"


@dataclass(frozen=True, slots=True)
class Stage:
    """A coordinator and the containers of its own stores."""

    served: Coordinator
    stores: tuple[Container, Container]
    postgres_url: str

    def status(self) -> dict[str, str]:
        """How both stand."""
        checks = self.served.call("GET", "/api/v1/ready").json()["checks"]
        return {name: checks[name] for name in ALL_OK}

    def play(self, **target: object) -> dict[str, object]:
        """Kill both stores for two seconds; the finished execution."""
        names = [container.name for container in self.stores]
        kill: dict[str, object] = {"type": "container_kill", "at": "500ms", "for": "2s"}
        probe = {"type": "container", "target": "t", "every": "100ms", "expect": {"state": "running"}}
        definition = scenario(
            [kill], names=names, duration="3s", probes={"c": probe}, targets={"t": {"names": names, **target}}
        )
        execution_id = self.served.submit(definition)
        eventually(lambda: self.served.execution(execution_id)["state"] == "finished", "the verdict")
        return self.served.execution(execution_id)


@pytest.fixture
def stage(service_images: Mapping[str, str], tmp_path: Path) -> Iterator[Stage]:
    """Both stores in containers, the coordinator connected."""
    ports = free_port(), free_port()
    with ExitStack() as stack:
        sandboxes = [Sandbox(service_images[name]) for name in ("POSTGRES_IMAGE", "REDIS_IMAGE")]
        for sandbox in sandboxes:
            stack.callback(sandbox.close)
        published = [f"--publish=127.0.0.1:{port}:{inside}" for port, inside in zip(ports, (5432, 6379), strict=True)]
        environment = [f"--env=POSTGRES_PASSWORD={PASSWORD}", "--env=POSTGRES_DB=history"]
        postgres = sandboxes[0].run("postgres", options=[published[0], *environment])
        serve = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
        redis = sandboxes[1].run("redis", command=serve, options=[published[1]])
        url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{ports[0]}/history"
        served = stack.enter_context(
            coordinator(tmp_path, POSTGRES_URL=url, REDIS_URL=f"redis://127.0.0.1:{ports[1]}/0")
        )
        served.start()
        made = Stage(served, (postgres, redis), url)
        eventually(lambda: made.status() == ALL_OK, "both stores", 120)
        yield made


def test_own_stores_are_attacked_only_when_asked(stage: Stage) -> None:
    """Protected by default; with `allow_self_dependencies` they are killed, the verdict is right, nothing is lost."""
    refused = stage.play()
    assert refused["verdict"] == "not_injected"
    assert [store.status for store in stage.stores] == ["running", "running"]
    before = [store.started_at for store in stage.stores]

    execution = stage.play(allow_self_dependencies=True)
    assert (execution["verdict"], execution["undo"]) == ("passed", "complete"), execution["reason"]
    assert [store.status for store in stage.stores] == ["running", "running"]
    assert all(store.started_at != then for store, then in zip(stage.stores, before, strict=True))
    assert stage.served.call("GET", "/api/v1/health").status_code == 200
    eventually(lambda: stage.status() == ALL_OK, "both stores again", 120)
    remembered = in_ledger(stage.served.data_dir)
    eventually(lambda: in_postgres(stage.postgres_url, "test") == remembered, "Postgres to have it all", 60)
