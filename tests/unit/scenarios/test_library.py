"""The built-in scenarios and the starter: valid by every measure, and usable as they are."""

import re

import jsonschema
import pytest
import yaml

from coordinator.errors import InvalidScenario, NotFound
from coordinator.scenarios.parse import builtin_names, builtin_text, parse, schema, starter_text
from coordinator.scenarios.probes import HttpProbe
from coordinator.scenarios.slips import loopback_probes
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "reference" / "library.md").read_text()
VALIDATOR = jsonschema.Draft202012Validator(schema())
TEXTS = {**{name: builtin_text(name) for name in builtin_names()}, "my-first-scenario": starter_text()}


def loaded(text: str) -> object:
    """The text as another YAML reader sees it."""
    return yaml.safe_load(text)


@pytest.mark.parametrize("name", builtin_names())
def test_the_page_tells_of_it(name: str) -> None:
    """The library's page has its description and each variable with default and meaning, as its own comments say."""
    _, _, after = PAGE.partition(f"\n## {name}\n")
    section, _, _ = after.partition("\n## ")
    scenario = parse(TEXTS[name], file=name).scenario
    assert scenario.metadata.description in section
    meanings = {told[1]: told[2] for told in re.finditer(r"^  (\w+): .*?  +# (.*)$", TEXTS[name], flags=re.MULTILINE)}
    for variable, default in scenario.variables.items():
        assert f"| `{variable}` | `{default}` | {meanings[variable]} |" in section
    assert "**If it fails**: " in section


def test_the_page_tells_of_no_other() -> None:
    """Each heading of the page is a scenario that is there."""
    assert sorted(re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)) == list(builtin_names())


@pytest.mark.parametrize("name", TEXTS)
def test_a_built_in_scenario_is_valid_without_a_word(name: str) -> None:
    """It parses with its own variables, has the name of its file, warns of nothing, and describes itself."""
    parsed = parse(TEXTS[name], file=name)
    assert parsed.scenario.metadata.name == name
    assert parsed.scenario.metadata.description
    assert parsed.warnings == ()
    assert TEXTS[name].startswith("#")


@pytest.mark.parametrize("name", TEXTS)
def test_a_built_in_scenario_follows_the_published_schema(name: str) -> None:
    """An editor that knows the JSON Schema underlines nothing."""
    VALIDATOR.validate(loaded(TEXTS[name]))


@pytest.mark.parametrize("name", builtin_names())
def test_a_built_in_scenario_is_pointed_elsewhere_by_variables(name: str) -> None:
    """Address and targets come from --var; none is extended from another."""
    variables = parse(builtin_text(name), file=name).scenario.variables
    who = {key: f"shop-{key}" for key in ("container", "dependency", "first", "second") if key in variables}
    label: dict[str, str] = {"label": "app=shop"} if "label" in variables else {}
    given = {"url": "http://10.1.2.3:9/x"} | who | label
    scenario = parse(builtin_text(name), file=name, variables=given).scenario
    assert scenario.extends is None
    assert [probe.url for probe in scenario.probes.values() if isinstance(probe, HttpProbe)] == ["http://10.1.2.3:9/x"]
    assert {named for target in scenario.targets.values() for named in target.names} == set(who.values())
    assert [target.labels for target in scenario.targets.values() if target.labels] == [{"app": "shop"}] * len(label)
    assert loopback_probes(scenario) == ()
    assert loopback_probes(parse(builtin_text(name), file=name).scenario) == ("api",)


@pytest.mark.parametrize("name", builtin_names())
def test_a_built_in_scenario_asks_before_and_stops_in_time(name: str) -> None:
    """Each has a steady state, an assertion after the fault, and a way out."""
    scenario = parse(builtin_text(name), file=name).scenario
    assert scenario.steady_state
    assert scenario.abort_if
    assert scenario.phases[0].faults
    assert scenario.phases[-1].assertions


def test_an_unknown_built_in_scenario_is_not_found() -> None:
    """The error names those there are, and no path leads out of the library."""
    for name in ("nope", "../starter", ""):
        with pytest.raises(NotFound, match="kill-one-replica"):
            builtin_text(name)


@pytest.mark.parametrize(
    "change",
    [
        "kind: Scenari", "surprise: 1", "phases: []", "targets: {}", "phases: [{name: x, faults: [{type: nope}]}]",
        "phases: [{name: x, duration: 5}]", "abort_if: [{probe: api, availability: 50%}]",
        "abort_if: [{probe: api, unavailable_for: 5}]", "steady_state: [{probe: api, latency_p99: 5}]",
        "probes: {x: {url: 'http://h'}}", "seed: soon",
        "phases: [{name: x, assert: [{container: {target: t, state: runing}}]}]",
    ],
)  # fmt: skip
def test_what_the_schema_refuses_the_parser_refuses(change: str) -> None:
    """Schema and parser agree on what is wrong in a file that is otherwise right."""
    document = loaded(TEXTS["pause-service"])
    assert isinstance(document, dict)
    document |= yaml.safe_load(change)
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(InvalidScenario):
        parse(yaml.safe_dump(document), file="f")


@pytest.mark.parametrize(
    "change",
    [
        "seed: 5", "seed: '{{ outage }}'", "steady_state: []", "limits: {max_targets: '1', max_percent: 50%}",
        "probes: {api: {type: tcp, host: '{{ url }}', port: '{{ outage }}', every: '{{ outage }}'}}",
        "targets: {service: {labels: [a=b, c]}}", "targets: {service: {labels: {a: 1}}}", "variables: {x: 1}",
        "probes: {api: {type: http, url: 'http://h', headers: {A: {secret: T}, B: b}, expect: {status: [200, 204]}}}",
        "abort_if: [{probe: api, latency_p99: '> {{ outage }}'}, {probe: api, value: 5}]",
    ],
)  # fmt: skip
def test_the_schema_takes_templates_and_both_spellings(change: str) -> None:
    """A variable may stand anywhere, and a number may be written as text."""
    document = loaded(TEXTS["pause-service"])
    assert isinstance(document, dict)
    document |= yaml.safe_load(change)
    VALIDATOR.validate(document)


def test_the_schema_asks_little_of_what_extends() -> None:
    """A file that extends a built-in scenario needs no targets and no phases; another one does."""
    head = {"apiVersion": "test-coordinator/v1", "kind": "Scenario"}
    assert VALIDATOR.is_valid({**head, "extends": "pause-service", "probes": {"api": {"every": "50ms"}}})
    assert not VALIDATOR.is_valid({**head, "extends": "pause-service", "surprise": 1})
    assert not VALIDATOR.is_valid(head)


def test_the_schema_is_one() -> None:
    """It is valid JSON Schema 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schema())
