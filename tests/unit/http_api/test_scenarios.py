import json

import pytest

from coordinator.scenarios.parse import builtin_names, builtin_text
from tests.unit.http_api.conftest import Client
from tests.unit.http_api.memory_control import MemoryControl

pytestmark = pytest.mark.anyio
URL = "/api/v1/scenarios"
BUILT_IN = builtin_names()[0]
MINE = builtin_text(BUILT_IN).replace(f"name: {BUILT_IN}", "name: mine", 1)


async def test_a_scenario_is_kept_run_and_forgotten(client: Client, control: MemoryControl) -> None:
    """PUT keeps it (201, then 200), it is listed, judged and run by its name, DELETE forgets it (204, then 404)."""
    first = await client.ask("PUT", f"{URL}/mine", {"yaml": MINE})
    assert (first.status, first.headers["Location"]) == (201, f"{URL}/mine")
    assert (await client.ask("PUT", f"{URL}/mine", {"yaml": MINE})).status == 200
    shown = (await client.ask("GET", f"{URL}/mine")).json
    assert (shown["built_in"], shown["valid"], shown["source"]) == (False, True, MINE)
    assert "mine" in [item["name"] for item in (await client.ask("GET", URL)).json["items"]]
    assert (await client.ask("POST", f"{URL}/validate", {"scenario": "mine"})).json["name"] == "mine"
    begun = await client.ask("POST", "/api/v1/executions", {"scenario": "mine"})
    assert (begun.status, begun.json["scenario"]) == (202, "mine")
    assert (await client.ask("DELETE", f"{URL}/mine")).status == 204
    assert (await client.ask("DELETE", f"{URL}/mine")).status == 404
    assert (await client.ask("GET", f"{URL}/mine")).status == 404


async def test_a_built_in_scenario_stays(client: Client) -> None:
    """It can neither be replaced nor deleted: 409."""
    for method, body in (("PUT", {"yaml": builtin_text(BUILT_IN)}), ("DELETE", None)):
        answer = await client.ask(method, f"{URL}/{BUILT_IN}", body)
        assert (answer.status, answer.json["type"]) == (409, "urn:test-coordinator:problem:conflict")


async def test_what_could_not_be_run_is_not_kept(client: Client) -> None:
    """A wrong scenario is 422 with its problems in what was sent; a name that is not its own, or no name, is too."""
    wrong = await client.ask("PUT", f"{URL}/mine", {"yaml": "kind: Scenario\nphases: {}\n"})
    assert wrong.status == 422
    assert {problem["file"] for problem in wrong.json["problems"]} == {"<yaml>"}
    assert {problem["field"] for problem in wrong.json["problems"]} >= {"phases", "targets"}
    other = await client.ask("PUT", f"{URL}/other", {"yaml": MINE})
    assert [problem["field"] for problem in other.json["problems"]] == ["metadata.name"]
    definition = {"apiVersion": "test-coordinator/v1", "kind": "Scenario", "extends": "nope"}
    unlined = await client.ask("PUT", f"{URL}/mine", {"definition": definition})
    assert {problem["line"] for problem in unlined.json["problems"]} == {None}
    for name in ("Mine", "..", "%2e%2e", "a%00", "a" * 64, "\u00e9"):
        assert (await client.ask("PUT", f"{URL}/{name}", {"yaml": MINE})).status in {404, 422}
    assert [item["name"] for item in (await client.ask("GET", URL)).json["items"]] == list(builtin_names())


async def test_validate_is_no_name(client: Client) -> None:
    """The call that judges is not a scenario: only POST is allowed there."""
    answer = await client.ask("GET", f"{URL}/validate")
    assert (answer.status, set(answer.headers["Allow"].split(", "))) == (405, {"POST", "OPTIONS"})


@pytest.mark.parametrize("body", [{}, {"yaml": MINE, "definition": {}}, {"scenario": "x"}, {"yaml": 1}, []])
async def test_exactly_one_text_is_given(client: Client, body: object) -> None:
    """Nothing, two, or something else instead is 422."""
    assert (await client.ask("PUT", f"{URL}/mine", body)).status == 422


async def test_a_definition_is_kept_as_a_file_people_can_read(client: Client, control: MemoryControl) -> None:
    """JSON comes back as it was meant, one field a line."""
    definition = {
        "apiVersion": "test-coordinator/v1", "kind": "Scenario", "extends": BUILT_IN, "metadata": {"name": "mine"},
    }  # fmt: skip
    assert (await client.ask("PUT", f"{URL}/mine", {"definition": definition})).status == 201
    source = (await client.ask("GET", f"{URL}/mine")).json["source"]
    assert json.loads(source) == definition
    assert len(source.splitlines()) > 4


async def test_an_unknown_name_is_told_with_a_near_one(client: Client) -> None:
    """The names of kept scenarios count as well."""
    await client.ask("PUT", f"{URL}/mine", {"yaml": MINE})
    answer = await client.ask("POST", f"{URL}/validate", {"scenario": "mime"})
    [problem] = answer.json["problems"]
    assert (answer.status, problem["field"], problem["suggestion"]) == (422, "scenario", "mine")
