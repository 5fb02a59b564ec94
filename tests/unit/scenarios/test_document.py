"""Reading: YAML and JSON alike, what a file may not hold, and the line of everything."""

import json

import pytest
import yaml

from coordinator.scenarios import document
from coordinator.scenarios.probes import HttpProbe
from tests.unit.scenarios.texts import DOCUMENT, GOOD, changed, only, problems, read


class TestReading:
    def test_a_good_file_becomes_a_scenario(self) -> None:
        """Each scalar is typed by the field it lands in."""
        parsed = read(GOOD)
        scenario = parsed.scenario
        (probe,) = scenario.probes.values()
        assert isinstance(probe, HttpProbe)
        assert (probe.every, probe.expect.status, probe.url) == (0.1, 200, "http://127.0.0.1:8000/web")
        assert scenario.phases[0].faults[0].at == 1.0
        assert scenario.targets["web"].compose_service == "web"
        assert parsed.variables == scenario.variables == {"service": "web", "outage": "10s"}
        assert parsed.warnings == ()

    @pytest.mark.parametrize("indent", [None, 2, "\t"])
    def test_json_reads_like_yaml(self, indent: int | str | None) -> None:
        """Whatever its white space, tabs too, and with characters written as two escapes."""
        told = {**DOCUMENT, "metadata": {"name": "s", "description": 'a "b" \\ \u00e4/\U0001f600'}}
        scenario = read(json.dumps(told, indent=indent).replace("/", "\\/")).scenario
        assert scenario.metadata.description == told["metadata"]["description"]
        assert scenario.phases == read(GOOD).scenario.phases

    def test_numbers_and_booleans_of_json_are_texts_too(self) -> None:
        """A variable given as a number, a label given as true, a null field."""
        told = {**DOCUMENT, "seed": 7, "variables": {"service": 1, "outage": "1s"}, "limits": None}
        told["targets"] = {"web": {"labels": {"app": True, "n": None}, "names": None}}
        scenario = read(json.dumps(told).replace("{{ service }}", "x")).scenario
        assert (scenario.seed, scenario.variables["service"]) == (7, "1")
        assert scenario.targets["web"].labels == {"app": "true", "n": ""}

    @pytest.mark.parametrize("null", ["", "~", "null", "NULL"])
    def test_an_absent_value_is_an_absent_field(self, null: str) -> None:
        """A plain null leaves the default; in quotes it is a text."""
        text = GOOD.replace("abort_if:\n  - {probe: api, unavailable_for: 15s}", f"abort_if: {null}")
        assert read(text).scenario.abort_if == ()
        assert read(GOOD.replace("name: s}", "name: s, description: 'null'}")).scenario.metadata.description == "null"

    def test_a_byte_order_mark_is_passed_over(self) -> None:
        """Editors on other systems write one."""
        assert read(b"\xef\xbb\xbf" + GOOD.encode()).scenario == read(GOOD).scenario

    @pytest.mark.parametrize(
        ("text", "line", "found", "allowed"),
        [
            ("", None, "an empty file", "a map"),
            ("- a", 1, "a list of 1", "a map"),
            (b"kind: x\n\xff", 2, "not UTF-8", "UTF-8"),
            ("kind: \ud800", None, "not UTF-8", "UTF-8"),
            ("a: \x00", 1, "may not stand in a text file", ""),
            ("x: " + "y" * 1024 * 1024, None, "bytes", "1 MiB"),
            ("x:\n  a: >= 99%", 2, "not readable", "in quotes, like '>= 99%'"),
            ("x:\n\t- a", 2, "not readable", "spaces for indentation"),
            ("x: a: b", 1, "not readable", "quotes"),
            ("{a: [}", 1, "not readable", ""),
            ("a: 'x", 1, "not readable", ""),
            ('"\\U00ffffff"', 1, "not readable", ""),
            ("[" * 5000, 1, "deeper than 32 levels", "32"),
            ('{"a":' * 5000, 1, "deeper than 32 levels", "32"),
            ("a:\n" + "- 1\n" * 10_001, 9_999, "more than 10,000 values", "10,000"),
        ],
    )
    def test_an_unreadable_text_is_one_clear_problem(
        self, text: str | bytes, line: int | None, found: str, allowed: str
    ) -> None:
        """What it is and, where there is one, the line."""
        problem = only(text)
        assert found in problem.found
        assert allowed in problem.allowed
        assert problem.line == line

    @pytest.mark.parametrize(
        ("old", "new", "field", "found"),
        [
            ("name: outage", "name: &a outage", "phases[0].name", "the anchor &a"),
            ("name: outage", "name: !!str outage", "phases[0].name", "the tag"),
            ("metadata: {name: s}", "metadata: {name: s, name: t}", "metadata.name", "given twice"),
            ("kind: Scenario\n", "kind: Scenario\n? [a]\n: b\n", "", "a key that is no text"),
            ("kind: Scenario\n", "kind: Scenario\n? ''\n: b\n", "", "a key that is no text"),
        ],
    )
    def test_what_a_scenario_file_may_not_hold(self, old: str, new: str, field: str, found: str) -> None:
        """Anchors, tags, duplicate keys and keys that are no text, each at its place."""
        problem = changed(old, new)
        assert problem.field == field
        assert found in problem.found

    def test_a_second_document_is_refused(self) -> None:
        """One file, one scenario."""
        assert "second document" in only(GOOD + "---\na: b\n").found

    def test_a_variable_without_quotes_gets_told_about_them(self) -> None:
        """To YAML it is a map in a map."""
        assert "quotes around" in problems(GOOD.replace('"{{ outage }}"', "{{ outage }}"))[0].allowed

    def test_problems_of_reading_are_told_together(self) -> None:
        """Two anchors, an alias and a typing problem come in one go, in the order of the file."""
        text = GOOD.replace("name: s}", "name: &n s}").replace("target: web", "target: *n").replace("15s", "15")
        assert [problem.line for problem in problems(text)] == [3, 15, 21]

    def test_the_slow_loader_reads_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where PyYAML comes without its C parser, files read the same."""
        fast = read(GOOD)
        monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
        assert read(GOOD) == fast
        assert read(json.dumps(DOCUMENT, indent="\t")).scenario == fast.scenario
        for text in ("{a: [}", '"\\U00ffffff"', "a: \x00", "[" * 100, 'a: "\\ud800"'):
            assert problems(text)
