"""Every kind of probe that keeps something, in a real execution: from the file to the report."""

import json

from tests.integration.coordinator_process import Coordinator, eventually, scenario
from tests.integration.sandbox import Sandbox
from tests.integration.services import PostgresServer, RedisServer

TALK = "while sleep 0.2; do echo tick; done"


def test_kept_probes_watch_an_execution(
    served: Coordinator, containers: Sandbox, postgres: PostgresServer, redis_server: RedisServer
) -> None:
    """Health, a query, a command and a log are sampled and judged; what only a secret tells stays out of the report."""
    postgres.start()
    redis_server.start()
    talker = containers.run("talker", command=("sh", "-c", TALK))
    (served.data_dir / "secrets").mkdir(exist_ok=True)
    (served.data_dir / "secrets" / "DSN").write_text(postgres.url + "\n")
    port = json.loads((served.data_dir / "endpoints.json").read_text())["grpc"].rpartition(":")[2]
    probes: dict[str, dict[str, object]] = {
        "health": {"type": "grpc_health", "host": "127.0.0.1", "port": port},
        "query": {"type": "sql", "dsn": {"secret": "DSN"}, "query": "select count(*) from pg_stat_activity"},
        "command": {"type": "redis", "url": redis_server.url, "command": ["ECHO", "7"]},
        "log": {"type": "log", "target": "t", "pattern": "^tick$"},
    }
    common = {"every": "200ms", "timeout": "10s"}
    claims: list[object] = [{"probe": name, "availability": ">= 50%"} for name in probes]
    claims += [{"probe": "command", "value": "== 7"}, {"probe": "health", "value": "== SERVING"}]
    pause = {"type": "container_pause", "target": "t", "at": "1s", "for": "1s"}
    phase = {"name": "paused", "duration": "3s", "faults": [pause], "assert": claims}
    watched = {name: {**common, **probe} for name, probe in probes.items()}

    execution_id = served.submit(scenario([], names=[talker.name], probes=watched, phases=[phase]))
    eventually(lambda: served.execution(execution_id)["state"] == "finished", "the end")

    done = served.execution(execution_id)
    assert (done["verdict"], done["reason"]) == ("passed", None)
    report = served.call("GET", f"/api/v1/executions/{execution_id}/report?format=json")
    counted = [value for _, _, _, value in report.json()["probes"]["log"]["samples"] if value is not None]
    assert counted == sorted(counted)
    assert counted[-1] > counted[0]
    assert postgres.url not in report.text
