import json

import jsonschema
import pytest

from actors.http_api.description import routes_of
from actors.http_api.docs import kind
from actors.http_api.guard import OPEN_PATHS
from tests.unit.http_api.conftest import Client
from tests.unit.http_api.memory_control import MemoryControl

pytestmark = pytest.mark.anyio
PAGES = {"/", "/api/v1/docs", "/api/v1/docs/style.css"}
NAME = "kill-one-replica"
MINE = {"extends": NAME, "apiVersion": "test-coordinator/v1", "kind": "Scenario", "metadata": {"name": "mine"}}


def test_every_route_is_described(client: Client) -> None:
    """Whatever answers below /api/v1 is in the document, but for the pages that browsers show."""
    described = {(route.operation_id, route.method) for route in routes_of(client.app)}
    served = {
        (rule.endpoint.rsplit(".", 1)[-1], method)
        for rule in client.app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and rule.rule not in PAGES
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served <= described


async def test_the_document_is_openapi(client: Client) -> None:
    """It says 3.1, every reference leads somewhere, ids are unique, and only open calls need no token."""
    document = (await client.ask("GET", "/api/v1/openapi.json")).json
    assert document["openapi"].startswith("3.1.")
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}" in text, f"{name} is used nowhere"
    references = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert references <= set(schemas)
    operations = [(path, one) for path, methods in document["paths"].items() for one in methods.values()]
    assert len({one["operationId"] for _, one in operations}) == len(operations)
    assert {path for path, one in operations if one.get("security") == []} == OPEN_PATHS - PAGES


def test_links_lead_somewhere(client: Client) -> None:
    """A link names a call of the document and only parameters that the call has."""
    document = client.contract.document
    operations = {one["operationId"]: one for methods in document["paths"].values() for one in methods.values()}
    links = [
        (name, link)
        for one in operations.values()
        for answer in one["responses"].values()
        for name, link in answer.get("links", {}).items()
    ]
    assert {name for name, _ in links} >= {"show", "events", "delete_scenario"}
    for _, link in links:
        taken = {parameter["name"] for parameter in operations[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= taken


async def test_the_answers_that_can_be_had_are_as_described(client: Client, control: MemoryControl) -> None:
    """Each successful answer of each call, held against the description by the client that all tests here use."""
    begun = (await client.ask("POST", "/api/v1/executions", {"scenario": NAME})).json["id"]
    control.tell("phase_started", "finished")
    asked: list[tuple[str, str, object]] = [
        ("POST", "/api/v1/executions", {"scenario": NAME, "dry_run": True}),
        ("GET", f"/api/v1/executions/{begun}", None),
        ("GET", "/api/v1/executions", None),
        ("GET", f"/api/v1/executions/{begun}/events", None),
        ("GET", f"/api/v1/executions/{begun}/report", None),
        ("GET", f"/api/v1/executions/{begun}/report?format=markdown", None),
        ("GET", f"/api/v1/executions/{begun}/samples?after_s=0&limit=10", None),
        ("DELETE", f"/api/v1/executions/{begun}", None),
        ("PUT", "/api/v1/scenarios/mine", {"definition": MINE}),
        ("PUT", "/api/v1/scenarios/mine", {"yaml": json.dumps(MINE)}),
        ("GET", "/api/v1/scenarios", None),
        ("GET", "/api/v1/scenarios/mine", None),
        ("POST", "/api/v1/scenarios/validate", {"scenario": "mine"}),
        ("DELETE", "/api/v1/scenarios/mine", None),
        ("GET", "/api/v1/actors", None),
        ("POST", "/api/v1/actors/chaos/restart", None),
        ("GET", "/api/v1/containers", None),
        ("GET", "/api/v1/faults", None),
        ("DELETE", "/api/v1/faults/f1", None),
        ("DELETE", "/api/v1/faults", None),
        ("POST", "/api/v1/scan", {"instances": ["green"]}),
        ("GET", "/api/v1/health", None),
        ("GET", "/api/v1/ready", None),
        ("GET", "/metrics", None),
        ("GET", "/api/v1/openapi.json", None),
    ]
    for method, path, body in asked:
        assert (await client.ask(method, path, body)).status < 300, (method, path)
    paths = client.contract.document["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    seen = {(method, path) for method, path, _ in client.contract.seen}
    # Nothing is ever quarantined in memory.
    assert described - seen == {("POST", "/api/v1/actors/{actor_id}/reset")}


async def test_the_page_shows_every_call(client: Client) -> None:
    """People find each call and schema of the document, without a token, without a script and from this host alone."""
    page = await client.ask("GET", "/api/v1/docs", headers={"Authorization": None})
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for route in routes_of(client.app):
        assert f'<section id="{route.operation_id}">' in page.text
    for name in client.contract.document["components"]["schemas"]:
        assert f'<section id="schema-{name}">' in page.text
    assert "<script" not in page.text
    assert "//" not in page.text.replace("<!doctype html>", "")
    style = await client.ask("GET", "/api/v1/docs/style.css", headers={"Authorization": None})
    assert (style.status, style.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "url(" not in style.text


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "string"}, "string"),
        ({"anyOf": [{"$ref": "#/components/schemas/Fault"}, {"type": "null"}]}, "Fault or null"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "list of a, b"),
        ({"type": "object", "additionalProperties": {"type": ["string", "number"]}}, "map to string or number"),
        ({"type": "array", "prefixItems": []}, "list"),
        ({"const": 3}, "3"),
        ({}, "anything"),
    ],
)
def test_schemas_in_few_words(schema: dict[str, object], shown: str) -> None:
    """What may stand somewhere is told as a person would say it."""
    assert "".join(text for text, _ in kind(schema)) == shown
