import pytest

from coordinator.errors import EngineUnreachable
from coordinator.logging import Message
from coordinator.scenarios.parse import builtin_names
from coordinator.supervision import ChildState
from tests.unit.http_api.conftest import Client
from tests.unit.http_api.memory_control import STAMP, MemoryControl, tree, view

pytestmark = pytest.mark.anyio


async def test_unknown_routes_and_methods_are_problems(client: Client) -> None:
    """404 and 405 are problem documents as well; 405 says what is allowed."""
    missing = await client.ask("GET", "/api/v1/nowhere")
    assert (missing.status, missing.headers["Content-Type"]) == (404, "application/problem+json")
    assert (missing.json["title"], missing.json["detail"]) == ("Not Found", "there is no such path")
    wrong = await client.ask("PUT", "/api/v1/executions")
    assert wrong.status == 405
    assert set(wrong.headers["Allow"].split(", ")) >= {"GET", "POST"}
    assert wrong.json["status"] == 405


async def test_a_surprise_is_500_without_a_traceback(
    client: Client, control: MemoryControl, lines: list[Message]
) -> None:
    """The client learns that it was our fault; the log has the stack."""
    control.fails["candidates"] = lambda: RuntimeError("s3cret detail")
    answer = await client.ask("GET", "/api/v1/containers")
    assert (answer.status, answer.json["type"]) == (500, "urn:test-coordinator:problem:internal")
    assert "s3cret" not in answer.text
    assert "Traceback" not in answer.text
    [error] = [line for line in lines if line.get("message_type") == "http_api:error"]
    assert "RuntimeError: s3cret detail" in str(error["traceback"])
    assert answer.headers["Content-Security-Policy"] == "default-src 'self'"


async def test_containers_tell_why_not(client: Client, control: MemoryControl) -> None:
    """Every container with the reason it may not be a target; times to the millisecond, never as nothing."""
    items = (await client.ask("GET", "/api/v1/containers")).json["items"]
    assert [(item["container"]["name"], item["why_not"]) for item in items] == [
        ("web-1", None),
        ("db-1", "labelled test-coordinator.protected=true"),
    ]
    assert (items[0]["container"]["started_at"], items[0]["container"]["finished_at"]) == (STAMP, "")
    control.fails["candidates"] = lambda: EngineUnreachable("no engine at unix:///x: start it")
    assert (await client.ask("GET", "/api/v1/containers")).status == 503


async def test_actors_are_shown_as_a_tree(client: Client, control: MemoryControl) -> None:
    """Each with the fields of the contract, its children inside."""
    control.snapshot = tree(view("chaos", ChildState.BACKOFF))
    [actor] = (await client.ask("GET", "/api/v1/actors")).json["items"]
    assert actor == {
        "id": "chaos", "path": "root/chaos", "kind": "worker", "state": "backoff", "critical": True, "incarnation": 2,
        "restarts": 1, "since": STAMP, "last_error": "it broke", "degraded": None, "finished": False, "children": [],
    }  # fmt: skip


async def test_an_actor_is_restarted_and_reset(client: Client, control: MemoryControl) -> None:
    """Restart answers with the actor; a reset of one that needs none is 409; unknown ones are 404."""
    answer = await client.ask("POST", "/api/v1/actors/chaos/restart")
    assert (answer.status, answer.json["id"], control.restarted) == (200, "chaos", ["chaos"])
    assert (await client.ask("POST", "/api/v1/actors/chaos/reset")).status == 409
    for verb in ("restart", "reset"):
        assert (await client.ask("POST", f"/api/v1/actors/nobody/{verb}")).status == 404
    assert (await client.ask("POST", "/api/v1/actors/root/restart")).status == 404


async def test_faults_are_listed_and_undone(client: Client) -> None:
    """The list has the contract's names; one, then all are undone; unknown ones are 404."""
    items = (await client.ask("GET", "/api/v1/faults")).json["items"]
    assert [(item["id"], item["class"], item["armed_at"]) for item in items] == [
        ("f1", "journal", STAMP),
        ("f2", "journal", STAMP),
    ]
    assert (await client.ask("DELETE", "/api/v1/faults/f1")).json == {"undone": ["f1"], "failed": {}}
    assert (await client.ask("DELETE", "/api/v1/faults/f1")).status == 404
    answer = await client.ask("DELETE", "/api/v1/faults")
    assert (answer.status, answer.json) == (200, {"undone": ["f2"], "failed": {"f9": "the engine is away"}})


async def test_the_engine_is_scanned(client: Client, control: MemoryControl) -> None:
    """What was found comes back with what was done; names of instances are a list; no engine is 503."""
    answer = (await client.ask("POST", "/api/v1/scan", {"instances": ["green"]})).json
    assert [(found["instance"], found["state"], found["text"]) for found in answer["found"]] == [
        ("green", "undone", "put back")
    ]
    assert answer["unable"] == ["iptables: not here"]
    assert (await client.ask("POST", "/api/v1/scan", {})).json["found"] == []
    for wrong in ("green", [""], ["bad name!"]):
        assert (await client.ask("POST", "/api/v1/scan", {"instances": wrong})).status == 422
    control.fails["scan"] = lambda: EngineUnreachable("no engine")
    assert (await client.ask("POST", "/api/v1/scan", {})).status == 503


async def test_scenarios_are_listed_and_shown(client: Client) -> None:
    """Every built-in, each with its text; unknown ones are 404."""
    items = (await client.ask("GET", "/api/v1/scenarios")).json["items"]
    assert tuple(item["name"] for item in items) == builtin_names()
    assert all(item["built_in"] and item["description"] for item in items)
    shown = (await client.ask("GET", f"/api/v1/scenarios/{items[0]['name']}")).json
    assert shown["source"].strip()
    assert shown["variables"]
    assert (await client.ask("GET", "/api/v1/scenarios/nope")).status == 404


async def test_a_scenario_is_judged(client: Client) -> None:
    """A good one is told valid; a bad one is 422 with its problems; unknown body fields are named."""
    good = await client.ask("POST", "/api/v1/scenarios/validate", {"scenario": builtin_names()[0]})
    assert (good.status, good.json["valid"], good.json["problems"]) == (200, True, [])
    bad = await client.ask("POST", "/api/v1/scenarios/validate", {"yaml": "kind: Scenario\nphases: {}\n"})
    assert bad.status == 422
    assert {problem["field"] for problem in bad.json["problems"]} >= {"phases", "targets"}
    odd = await client.ask("POST", "/api/v1/scenarios/validate", {"scenario": "x", "seed": 1})
    assert [problem["field"] for problem in odd.json["problems"]] == ["seed"]


async def test_metrics_name_requests_by_their_route(client: Client) -> None:
    """Requests are counted by method, route template and status; identity stands on info alone; actors are there."""
    await client.ask("GET", "/api/v1/executions/abc")
    await client.ask("GET", "/api/v1/secret-path")
    answer = await client.ask("GET", "/metrics", headers={"Authorization": None})
    assert answer.headers["Content-Type"].startswith("text/plain")
    route = "/api/v1/executions/<execution_id>"
    assert f'test_coordinator_http_requests_total{{code="404",method="GET",route="{route}"}} 1.0' in answer.text
    assert 'test_coordinator_http_requests_total{code="404",method="GET",route="<none>"} 1.0' in answer.text
    assert "secret-path" not in answer.text
    assert 'test_coordinator_actor_up{actor="root/chaos"} 1.0' in answer.text
    assert 'test_coordinator_actor_restarts_total{actor="root/chaos"} 1.0' in answer.text
    named = [line for line in answer.text.splitlines() if "Chaos1" in line]
    assert len(named) == 1
    assert named[0].startswith("test_coordinator_info{")


async def test_the_page_says_what_this_is(client: Client) -> None:
    """A browser finds the instance's name and where the API begins."""
    answer = await client.ask("GET", "/", headers={"Authorization": None})
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "test-coordinator-Chaos1" in answer.text
    assert "/api/v1/health" in answer.text


async def test_machines_do_not_fill_the_log(client: Client, lines: list[Message]) -> None:
    """Health, ready and metrics are not logged; other requests are, with their status."""
    for path in ("/api/v1/health", "/api/v1/ready", "/metrics", "/api/v1/faults"):
        await client.ask("GET", path)
    ended = [line for line in lines if line.get("action_type") == "http:request" and line["action_status"] != "started"]
    assert [(line["action_status"], line["status"]) for line in ended] == [("succeeded", 200)]
