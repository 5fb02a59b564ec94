import json
from typing import Any
from uuid import UUID

import pytest

from coordinator.errors import EngineUnreachable, LedgerUnavailable, MissingSecret, Refused
from coordinator.logging import Message
from coordinator.reports import FORMATS, parse_report
from coordinator.reports.html import content_policy
from coordinator.scenarios.parse import builtin_text
from tests.unit.http_api.conftest import Answer, Client
from tests.unit.http_api.memory_control import STAMP, Bespoke, MemoryControl

pytestmark = pytest.mark.anyio

URL = "/api/v1/executions"
NAME = "kill-one-replica"
DEFINITION: dict[str, Any] = {
    "apiVersion": "test-coordinator/v1",
    "kind": "Scenario",
    "metadata": {"name": "mine"},
    "targets": {"web": {"names": ["web-1"]}},
    "phases": [{"name": "outage", "duration": "5s", "faults": [{"type": "container_pause", "target": "web"}]}],
}


def fields(answer: Answer) -> list[str]:
    """The fields a 422 names."""
    assert answer.status == 422, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    return [problem["field"] for problem in answer.json["problems"]]


async def test_an_execution_is_accepted(client: Client, control: MemoryControl) -> None:
    """202 with the execution and where to find it; what is handed on is the built-in's own text."""
    answer = await client.ask("POST", URL, {"scenario": NAME, "seed": 5, "expect_plan": "h"})
    assert answer.status == 202
    assert answer.headers["Location"] == f"{URL}/{answer.json['id']}"
    assert (answer.json["scenario"], answer.json["seed"], answer.json["created_at"]) == (NAME, 5, STAMP)
    submission = control.accepted[answer.json["id"]][1]
    assert (submission.source, submission.expect_plan) == (builtin_text(NAME), "h")


@pytest.mark.parametrize(
    ("body", "source"),
    [({"definition": DEFINITION}, json.dumps(DEFINITION)), ({"yaml": json.dumps(DEFINITION)}, json.dumps(DEFINITION))],
)
async def test_a_scenario_may_come_along(
    client: Client, control: MemoryControl, body: dict[str, object], source: str
) -> None:
    """A definition is handed on as JSON, YAML as it is."""
    answer = await client.ask("POST", URL, body)
    assert answer.status == 202
    assert control.accepted[answer.json["id"]][1].source == source


async def test_the_id_is_the_task_of_the_request(client: Client, lines: list[Message]) -> None:
    """Each request is an Eliot task of its own; the execution it begins has that task's id."""
    first = await client.ask("POST", URL, {"scenario": NAME})
    second = await client.ask("POST", URL, {"scenario": NAME})
    assert first.json["id"] != second.json["id"]
    assert str(UUID(first.json["id"])) == first.json["id"]
    started = [
        line for line in lines if line.get("action_type") == "http:request" and line["action_status"] == "started"
    ]
    assert [line["task_uuid"] for line in started] == [first.json["id"], second.json["id"]]
    assert all(line["task_level"] == [1] for line in started)


async def test_a_key_makes_a_request_repeatable(client: Client) -> None:
    """The same key brings the same execution, 202 again; with another body it is 409."""
    headers = {"Idempotency-Key": "k-1"}
    first = await client.ask("POST", URL, {"scenario": NAME}, headers=headers)
    again = await client.ask("POST", URL, {"scenario": NAME}, headers=headers)
    other = await client.ask("POST", URL, {"scenario": NAME, "seed": 1}, headers=headers)
    assert (first.status, again.status, other.status) == (202, 202, 409)
    assert first.json["id"] == again.json["id"]
    assert other.json["type"] == "urn:test-coordinator:problem:conflict"
    assert fields(await client.ask("POST", URL, {"scenario": NAME}, headers={"Idempotency-Key": "a b"})) == [
        "Idempotency-Key"
    ]


async def test_a_dry_run_is_a_plan(client: Client, control: MemoryControl) -> None:
    """200 and the plan; nothing is accepted."""
    answer = await client.ask("POST", URL, {"scenario": NAME, "dry_run": True})
    assert (answer.status, answer.json["hash"], control.accepted) == (200, "abc", {})


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["scenario"]),
        ({"scenario": NAME, "yaml": "x"}, ["scenario"]),
        ({"scenario": "no-such"}, ["scenario"]),
        ({"scenario": NAME, "sede": 1, "dry_run": "yes"}, ["dry_run", "sede"]),
        ({"scenario": NAME, "seed": 1.5}, ["seed"]),
        ({"scenario": NAME, "seed": 2**70}, ["seed"]),
        ({"scenario": NAME, "variables": {"a": []}}, ["variables.a"]),
        ({"scenario": 5.5, "definition": []}, ["definition", "scenario"]),
        ([], [""]),
        ("text", [""]),
    ],
)
async def test_wrong_fields_are_named(client: Client, body: object, wrong: list[str]) -> None:
    """Every unknown or wrong field of a body is a problem of its own."""
    assert sorted(fields(await client.ask("POST", URL, body))) == wrong


async def test_a_slip_of_the_pen_is_guessed(client: Client) -> None:
    """An unknown field comes with the nearest known one."""
    answer = await client.ask("POST", URL, {"scenario": NAME, "variabels": {}})
    assert answer.json["problems"][0]["suggestion"] == "variables"
    answer = await client.ask("POST", URL, {"scenario": NAME[:-1]})
    assert answer.json["problems"][0]["suggestion"] == NAME


async def test_the_detail_alone_says_what_is_allowed(client: Client) -> None:
    """Whoever shows only `detail` shows found, allowed and suggestion too, a line for each problem."""
    answer = await client.ask("POST", URL, {"variabels": {}})
    assert answer.json["detail"].splitlines()[0].startswith("variabels: unknown field; allowed: scenario, ")
    assert answer.json["detail"].splitlines()[0].endswith("; did you mean 'variables'?")
    answer = await client.ask("POST", URL, {})
    assert answer.json["detail"] == "scenario: missing; allowed: exactly one of scenario, definition, yaml"


async def test_all_problems_of_a_scenario_are_told(client: Client) -> None:
    """A bad scenario is 422 with every problem: line and field for YAML, the field alone for JSON."""
    bad = DEFINITION | {"phases": [{"name": "x", "duration": 5, "faults": []}], "colour": "red"}
    answer = await client.ask("POST", URL, {"yaml": json.dumps(bad, indent=1)})
    assert {"colour"} < set(fields(answer))
    assert answer.json["type"] == "urn:test-coordinator:problem:invalid-scenario"
    assert all(problem["line"] for problem in answer.json["problems"])
    assert all(problem["file"] == "<yaml>" for problem in answer.json["problems"])
    answer = await client.ask("POST", URL, {"definition": bad})
    assert {"colour"} < set(fields(answer))
    assert {problem["line"] for problem in answer.json["problems"]} == {None}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"seed": NaN}', "NaN"),
        (b'{"seed": 1, "seed": 2}', "twice"),
        (b'"\xff"', "UTF-8"),
        (b'{"yaml": "\\ud800"}', "UTF-8"),
        (b"[" * 500_000, "deeply"),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
)
async def test_what_is_not_json_is_400(client: Client, raw: bytes, told: str) -> None:
    """Broken, ambiguous, bottomless or endless JSON is refused with its reason."""
    answer = await client.ask("POST", URL, raw=raw, headers={"Content-Type": "application/json"})
    assert answer.status == 400
    assert told in answer.json["detail"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Refused("injection is switched off"), 403, "refused"),
        (EngineUnreachable("the engine is away"), 503, "engine-unreachable"),
        (LedgerUnavailable("the disk is full"), 503, "ledger-unavailable"),
        (MissingSecret("no secret X"), 422, "missing-secret"),
        (Bespoke("one of a kind"), 500, "internal"),
    ],
)
async def test_errors_of_ours_have_a_status(
    client: Client, control: MemoryControl, error: Exception, status: int, kind: str
) -> None:
    """Each kind of error has its status and type; the detail is what a person is told."""
    control.fails["submit"] = lambda: error
    answer = await client.ask("POST", URL, {"scenario": NAME})
    assert (answer.status, answer.json["status"], answer.json["detail"]) == (status, status, str(error))
    assert answer.json["type"] == f"urn:test-coordinator:problem:{kind}"


async def test_executions_are_listed_in_pages(client: Client) -> None:
    """Newest first; `next` leads on until the end; states choose."""
    ids = [(await client.ask("POST", URL, {"scenario": NAME})).json["id"] for _ in range(3)]
    first = (await client.ask("GET", f"{URL}?limit=2")).json
    assert [item["id"] for item in first["items"]] == [ids[2], ids[1]]
    last = (await client.ask("GET", f"{URL}?limit=2&after={first['next']}")).json
    assert ([item["id"] for item in last["items"]], last["next"]) == ([ids[0]], None)
    assert (await client.ask("GET", f"{URL}?state=running,undoing&state=finished")).json == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("limit=501", "limit"), ("state=odd", "state.0"), ("page=2", "page")],
)
async def test_wrong_queries_are_named(client: Client, query: str, wrong: str) -> None:
    """A wrong or unknown parameter is 422."""
    assert fields(await client.ask("GET", f"{URL}?{query}")) == [wrong]


async def test_one_is_shown_stopped_and_reported(client: Client) -> None:
    """GET shows it, DELETE stops it with 202, a second DELETE is 409, unknown ids are 404 everywhere."""
    made = await client.ask("POST", URL, {"scenario": NAME})
    where = made.headers["Location"]
    assert (await client.ask("GET", where)).json["id"] == made.json["id"]
    stopped = await client.ask("DELETE", where)
    assert (stopped.status, stopped.json["state"]) == (202, "finished")
    assert (await client.ask("DELETE", where)).status == 409
    for method, path in [("GET", "x"), ("DELETE", "x"), ("GET", "x/report")]:
        answer = await client.ask(method, f"{URL}/{path}")
        assert (answer.status, answer.json["type"]) == (404, "urn:test-coordinator:problem:not-found")


async def test_a_report_comes_in_every_format(client: Client) -> None:
    """JSON, which reads back as the report, HTML, JUnit XML and Markdown, each as what it is; others are 422."""
    where = (await client.ask("POST", URL, {"scenario": NAME})).headers["Location"]
    report = await client.ask("GET", f"{where}/report")
    known = parse_report(report.text)
    assert known.left_broken == ("docker unpause web-1",)
    assert report.json["probes"] == {"api": {"samples": [[0.1, True, 0.01, 200.0]]}}
    for name, form in FORMATS.items():
        answer = await client.ask("GET", f"{where}/report?format={name}")
        assert (answer.headers["Content-Type"], answer.text) == (form.media_type, form.render(known))
    answer = await client.ask("GET", f"{where}/report?format=pdf")
    assert fields(answer) == ["format"]
    assert answer.json["problems"][0]["allowed"] == "html, json, junit, markdown"


async def test_the_page_of_a_report_may_have_its_own_style(client: Client) -> None:
    """The policy that is sent with it allows the style it holds and nothing else; other formats keep the common one."""
    where = (await client.ask("POST", URL, {"scenario": NAME})).headers["Location"]
    page = await client.ask("GET", f"{where}/report?format=html")
    assert page.headers["Content-Security-Policy"] == content_policy()
    assert content_policy().startswith("default-src 'none'; style-src 'sha256-")
    markdown = await client.ask("GET", f"{where}/report?format=markdown")
    assert markdown.headers["Content-Security-Policy"] == "default-src 'self'"
