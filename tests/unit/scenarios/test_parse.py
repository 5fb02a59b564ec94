"""Parsing: every problem of a file at once, each where it is; and never a traceback, whatever the text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.errors import InvalidScenario, Problem
from coordinator.scenarios.parse import builtin_text, parse, starter_text
from coordinator.scenarios.slips import loopback_probes
from tests.unit.scenarios.texts import DOCUMENT, GOOD, changed, only, problems, read


class TestFields:
    @pytest.mark.parametrize(
        ("old", "new", "field", "line", "found", "allowed", "suggestion"),
        [
            ("service_kill", "container_kil", "phases[0].faults[0].type", 15, "'container_kil'", "container_kill,",
             "container_kill"),
            ("type: service_kill, ", "", "phases[0].faults[0].type", 15, "missing", "service_kill", None),
            ("type: http", "type: htp", "probes.api.type", 8, "'htp'", "container, exec, ", "http"),
            ("target: web, ", "", "phases[0].faults[0].target", 15, "missing", "a name under `targets`", None),
            ("target: web", "target: wbe", "phases[0].faults[0].target", 15, "'wbe'", "a target", "web"),
            ("at: 1s", "at: 1", "phases[0].faults[0].at", 15, "'1'", "did you mean 1s?", None),
            ("at: 1s", "att: 1s", "phases[0].faults[0].att", 15, "an unknown field", "type, target, at, for", "at"),
            ("at: 1s", "at: 11s", "phases[0].faults[0].at", 15, "'11s'", "at most 10s", None),
            ("at: 1s", "at: 4s, for: 7s", "phases[0].faults[0].for", 15, "'7s'", "at most 6s", None),
            ("at: 1s", "signal: KIL", "phases[0].faults[0].signal", 15, "'KIL'", "SIGKILL", None),
            ('    duration: "{{ outage }}"\n', "", "phases[0].faults[0].at", 14, "'1s'", "no duration", None),
            ("status: 200", "status: ok", "probes.api.expect.status", 8, "'ok'", "a whole number or a list", None),
            ("status: 200", "status: 20", "probes.api.expect.status", 8, "'20'", "at least 100", None),
            ("at: 1s", "max_skew: 0s", "phases[0].faults[0].max_skew", 15, "'0s'", "more than 0s", None),
            ("type: service_kill", "type: network_latency, latency: 2h", "phases[0].faults[0].latency", 15, "'2h'",
             "at most 10m", None),
            ("type: service_kill", "type: network_bandwidth, rate: 1mbit, burst: 1k", "phases[0].faults[0].burst", 15,
             "'1k'", "at least 2k", None),
            ("type: service_kill", "type: network_loss, percent: 0%", "phases[0].faults[0].percent", 15, "'0%'",
             "more than 0%", None),
            ("type: service_kill", "type: clock_skew, offset: -999999h", "phases[0].faults[0].offset", 15,
             "'-999999h'", "at least -438000h", None),
            ("http://127.0.0.1", "http://169.254.169.254", "probes.api.url", 8, "'http://169", "link-local", None),
            ("http://127", "127", "probes.api.url", 8, "'127.0.0.1", "a URL like", None),
            ('availability: ">= 99%"', "availability: 99%", "steady_state[0].availability", 10, "'99%'",
             "an operator", None),
            ('{probe: api, availability: ">= 90', '{probe: apo, availability: ">= 90', "phases[0].assert[0].probe", 17,
             "'apo'", "a probe of this scenario: api", "api"),
            ("until: {probe: api", "until: {probe: ap", "phases[1].wait_until.probe", 19, "'ap'", "api", "api"),
            ("probe: api, unavail", "probe: pia, unavail", "abort_if[0].probe", 21, "'pia'", "api", "api"),
            ("name: recovery", "name: outage", "phases[1].name", 18, "'outage'", "phases[0]", None),
            ("name: s}", "name: My Scenario}", "metadata.name", 3, "'My Scenario'", "[a-z0-9]", None),
            ("  web:", "  We b:", "targets.We b", 6, "the name 'We b'", "[a-z0-9]", None),
            ("v1", "v2", "apiVersion", 1, "'test-coordinator/v2'", "test-coordinator/v1", "test-coordinator/v1"),
            ("kind: Scenario\n", "", "kind", 1, "missing", "required", None),
            ("kind: Scenario", "kind:", "kind", 2, "nothing", "required", None),
            ("pick: 1", "pick: some", "targets.web.pick", 6, "'some'", "all, N or N%", None),
            ("pick: 1", "name_regex: '('", "targets.web.name_regex", 6, "'('", "a regular expression", None),
            ("pick: 1", "names: web", "targets.web.names", 6, "'web'", "a list", None),
            ("abort_if:", "limits: {max_percent: 5}\nabort_if:", "limits.max_percent", 20, "'5'", "5%?", None),
            ("abort_if:", "unknown: 1\nabort_if:", "unknown", 20, "an unknown field", "apiVersion, kind", None),
        ],
    )  # fmt: skip
    def test_a_mistake_is_told_with_its_place_and_what_is_allowed(
        self, old: str, new: str, field: str, line: int, found: str, allowed: str, suggestion: str | None
    ) -> None:
        """Line, dotted field, what was found, what is allowed, and the nearest name."""
        told = [problem for problem in problems(GOOD.replace(old, new, 1)) if problem.field == field]
        assert len(told) == 1
        assert (told[0].file, told[0].line, told[0].suggestion) == ("f.yaml", line, suggestion)
        assert told[0].found.startswith(found)
        assert allowed in told[0].allowed

    def test_internal_names_of_fields_are_unknown(self) -> None:
        """What is `for` in a file is not also `lasts`."""
        assert changed("at: 1s", "lasts: 1s").found == "an unknown field"

    def test_all_mistakes_are_told_at_once(self) -> None:
        """Unreadable values hide neither wrong names nor undeclared variables, and each is told once."""
        text = (
            GOOD.replace("{{ outage }}", "{{ outge }}").replace("at: 1s", "at: soon").replace("v1", "v7")
            .replace("{probe: api", "{probe: x").replace("type: http", "type: nope").replace("pick: 1", "pick: none")
        )  # fmt: skip
        fields = [problem.field for problem in problems(text)]
        assert fields == [
            "apiVersion", "targets.web.pick", "probes.api.type", "steady_state[0].probe", "phases[0].duration",
            "phases[0].faults[0].at", "phases[0].assert[0].probe", "phases[1].wait_until.probe", "abort_if[0].probe",
        ]  # fmt: skip
        assert len(set(str(InvalidScenario(problems(text))).splitlines())) == len(fields)

    def test_targets_of_probes_and_claims_must_exist(self) -> None:
        """Wherever a target is named it must be one."""
        text = GOOD + "seed: 1\n"
        text = text.replace("abort_if:\n", "    assert: [{container: {target: wob, state: running}}]\nabort_if:\n")
        text = text.replace('type: http, url: "http://127.0.0.1:8000/{{service}}"', "type: http, target: wab, port: 1")
        assert [problem.field for problem in problems(text) if "target" in problem.field] == [
            "probes.api.target", "phases[1].assert[0].container.target"
        ]  # fmt: skip

    def test_unchanged_needs_a_steady_state(self) -> None:
        """There is nothing to compare with otherwise."""
        text = GOOD.replace('availability: ">= 90%"', "unchanged: true")
        assert read(text).scenario.phases[0].assertions[0].unchanged is True
        without = text.replace('steady_state:\n  - {probe: api, availability: ">= 99%", for: 3s}\n', "")
        assert only(without).field == "phases[0].assert[0].unchanged"

    def test_a_union_complains_where_the_mistake_is(self) -> None:
        """A header is a text or a secret: a misspelt secret is told as such, not as a text that is none."""
        problem = problems(GOOD.replace("every: 100ms", "headers: {A: {secrt: X}}"))
        assert [one.field for one in problem] == ["probes.api.headers.A.secret", "probes.api.headers.A.secrt"]
        assert changed("every: 100ms", "headers: {A: [1]}").allowed == "a text or a map"

    def test_passwords_are_not_repeated(self) -> None:
        """A problem with a URL masks its password."""
        problem = changed("http://127.0.0.1", "http://u:pa55@169.254.1.1")
        assert "pa55" not in str(problem)


class TestVariables:
    def test_a_given_value_wins(self) -> None:
        """`--var` overrides what is declared, and the field reads the text."""
        parsed = read(GOOD, outage="1m")
        assert parsed.scenario.phases[0].duration == 60.0
        assert parsed.variables == parsed.scenario.variables == {"service": "web", "outage": "1m"}

    def test_a_wrong_value_is_told_at_the_field_that_reads_it(self) -> None:
        """The variable itself is only text."""
        problem = only(GOOD, outage="long")
        assert (problem.field, problem.line, problem.found) == ("phases[0].duration", 13, "'long'")

    def test_undeclared_names_are_told_with_the_nearest(self) -> None:
        """In the text and in what is given."""
        inside, outside = changed("{{ outage }}", "{{ outrage }}"), only(GOOD, outagee="1s")
        assert (inside.found, inside.suggestion) == ("'{{ outrage }}'", "outage")
        assert (outside.field, outside.line, outside.suggestion) == ("variables.outagee", 4, "outage")

    @pytest.mark.parametrize("expression", ["{{ outage + 1 }}", "{{ service.x }}", "{{}}", "{{ a | b }}"])
    def test_there_are_no_expressions(self, expression: str) -> None:
        """Only a name may stand between the braces."""
        assert changed("{{ outage }}", expression).found == repr(expression)

    @pytest.mark.parametrize("text", ["{{ outage", "{{ {x} }}", "{{{{ outage }} }}"])
    def test_braces_come_in_pairs(self, text: str) -> None:
        """What begins like a variable and is none is told, not passed on."""
        assert changed("{{ outage }}", text).field == "phases[0].duration"

    def test_what_is_put_in_is_bounded(self) -> None:
        """A long text put in many times is refused before it fills the memory."""
        told = problems(GOOD.replace("{{service}}", "{{service}}" * 5000), service="x" * 100_000)
        assert any("too long" in problem.found for problem in told)

    def test_a_value_holds_no_other_variable(self) -> None:
        """Neither a declared nor a given one; nothing is put in twice."""
        assert changed("service: web", 'service: "{{ outage }}"').field == "variables.service"
        assert only(GOOD, service="{{ outage }}").field == "variables.service"

    def test_keys_are_left_as_they_are(self) -> None:
        """Only values are texts to put something into; a list of labels serves where a key must vary."""
        told = problems(GOOD.replace("  web:", '  "{{ service }}":'))
        assert told[0].found == "the name '{{ service }}'"
        text = GOOD.replace('compose_service: "{{ service }}"', 'labels: ["{{ service }}=x"]')
        assert read(text).scenario.targets["web"].labels == {"web": "x"}

    def test_text_put_in_cannot_change_the_structure(self) -> None:
        """Braces, quotes, line ends and nulls of a value stay text."""
        odd = "a: b\n- {x: ['\"~"
        text = GOOD.replace("name: s}", 'name: s, description: "<{{ service }}>", tags: ["{{ service }}"]}')
        assert read(text, service=odd).scenario.metadata.description == f"<{odd}>"
        assert read(text, service="null").scenario.metadata.tags == ("null",)


class TestExtends:
    HEAD = "apiVersion: test-coordinator/v1\nkind: Scenario\nextends: kill-one-replica\n"

    def test_the_built_in_scenario_is_the_start(self) -> None:
        """Maps are merged deeply, lists replaced, and what is absent taken out."""
        base = parse(builtin_text("kill-one-replica"), file="b").scenario
        scenario = read(
            self.HEAD + "metadata: {name: mine}\nvariables: {outage: 1s}\nprobes: {api: {every: 50ms}}\nabort_if: []\n"
            "targets: {replica: {labels: ~, names: [a]}}\n"
        ).scenario  # fmt: skip
        assert (scenario.metadata.name, scenario.metadata.tags) == ("mine", base.metadata.tags)
        assert scenario.phases[0].duration == 1.0
        assert scenario.probes["api"].every == 0.05
        assert (scenario.targets["replica"].names, scenario.targets["replica"].labels) == (("a",), {})
        assert (scenario.abort_if, scenario.steady_state) == ((), base.steady_state)

    def test_a_part_of_another_type_is_replaced_whole(self) -> None:
        """A tcp probe in place of an http one does not inherit its URL."""
        scenario = read(self.HEAD + "probes: {api: {type: tcp, host: h, port: 1}}\n").scenario
        assert scenario.probes["api"].type == "tcp"

    def test_problems_name_the_file_they_are_in(self) -> None:
        """A value of the built-in scenario that no longer fits is told with its own file and line."""
        mine, theirs = problems(self.HEAD + "variables: {outage: 1}\nseed: x\n")
        assert (mine.file, mine.line, mine.field) == ("f.yaml", 5, "seed")
        assert theirs.file == "<built-in kill-one-replica>"
        assert theirs.field == "phases[0].duration"
        assert '"{{ outage }}"' in builtin_text("kill-one-replica").splitlines()[(theirs.line or 0) - 1]

    def test_an_unknown_one_is_told_with_the_nearest(self) -> None:
        """Only built-in scenarios can be extended."""
        told = problems(GOOD + "extends: kill-one-replika\n")
        assert [(one.field, one.suggestion) for one in told] == [("extends", "kill-one-replica")]


class TestWarnings:
    @pytest.mark.parametrize(
        ("old", "new", "warning"),
        [
            ("outage: 10s}", "outage: 10s, spare: x}", "variable spare is used nowhere"),
            ("probes:", "  spare: {names: [x]}\nprobes:", "target spare is used nowhere"),
            ("    faults:\n      - {type: service_kill, target: web, at: 1s}\n", "", "nothing will be injected"),
        ],
    )
    def test_probable_slips_are_warned_of(self, old: str, new: str, warning: str) -> None:
        """What is valid and yet without effect."""
        assert any(warning in told for told in read(GOOD.replace(old, new)).warnings)

    def test_a_scenario_that_cannot_fail_is_warned_of(self) -> None:
        """Faults, and no claim about anything."""
        told = {key: value for key, value in DOCUMENT.items() if key != "steady_state"}
        told["phases"] = [{"name": "p", "faults": [{"type": "container_kill", "target": "web"}]}]
        assert any("passes whatever happens" in warning for warning in read(json.dumps(told)).warnings)

    @pytest.mark.parametrize(
        ("url", "loopback"),
        [("http://localhost/", True), ("http://a.localhost./", True), ("http://[::1]:8/", True), ("http://0/", True),
         ("http://127.9/", True), ("http://10.0.0.1/", False), ("http://api/", False)],
    )  # fmt: skip
    def test_loopback_probes_are_known(self, url: str, *, loopback: bool) -> None:
        """By name and in every spelling of the address."""
        scenario = read(GOOD.replace("http://127.0.0.1:8000/{{service}}", url)).scenario
        assert loopback_probes(scenario) == (("api",) if loopback else ())

    @pytest.mark.parametrize(
        "probe",
        [
            {"type": "prometheus", "url": "http://localhost:9090", "query": "up"},
            {"type": "grpc_health", "host": "localhost", "port": 1},
            {"type": "redis", "url": "redis://u@127.0.0.1:1/0"},
            {"type": "sql", "dsn": "postgresql://u:p@[::1]/d", "query": "select 1"},
        ],
        ids=lambda probe: probe["type"],
    )
    def test_whatever_is_asked_on_loopback_is_known(self, probe: dict[str, object]) -> None:
        """Whatever goes to a host can mean the coordinator's own container; what only a secret knows cannot be told."""
        changed = {"api": probe, "other": {"type": "sql", "dsn": {"secret": "DSN"}, "query": "select 1"}}
        assert loopback_probes(read(json.dumps(DOCUMENT | {"probes": changed})).scenario) == ("api",)

    @pytest.mark.parametrize(
        ("probe", "field", "allowed"),
        [
            ({"type": "log", "target": "web", "pattern": "a(?=b)"}, "pattern", "a regular expression that RE2 takes"),
            ({"type": "log", "target": "wep", "pattern": "a"}, "target", "a target of this scenario: web"),
            ({"type": "grpc_health", "port": 1}, "", "either host or target"),
            ({"type": "redis", "url": "http://cache"}, "url", "a URL like redis://cache:6379/0"),
            ({"type": "redis", "url": "redis://c", "command": ["Subscribe", "x"]}, "", "Subscribe does not"),
            ({"type": "redis", "url": "redis://169.254.169.254"}, "url", "any address but link-local ones"),
            ({"type": "sql", "dsn": "mysql://db/shop", "query": "x"}, "dsn", "a URL like postgresql://"),
            ({"type": "sql", "dsn": "postgresql://u:s3cr3t@169.254.0.1/", "query": "x"}, "dsn", "link-local"),
        ],
        ids=range(8),
    )
    def test_a_probe_that_cannot_look_is_refused(self, probe: dict[str, object], field: str, allowed: str) -> None:
        """Where it stands and what is allowed; passwords are not shown."""
        with pytest.raises(InvalidScenario) as told:
            read(json.dumps(DOCUMENT | {"probes": {"api": probe}}))
        (problem,) = told.value.problems
        assert problem.field == f"probes.api.{field}".rstrip(".")
        assert allowed in problem.allowed
        assert "s3cr3t" not in str(told.value)


class TestWhateverTheText:
    """Anything at all is either a scenario or an InvalidScenario with at least one problem."""

    @staticmethod
    def survives(text: str | bytes, variables: dict[str, str] | None = None) -> None:
        """Parse it."""
        told: tuple[Problem, ...] = ()
        try:
            scenario = parse(text, file="f", variables=variables or {}).scenario
        except InvalidScenario as error:
            scenario, told = None, error.problems
        assert bool(told) is (scenario is None)
        assert all(str(problem).startswith("f") or problem.file.startswith("<built-in") for problem in told)

    @pytest.mark.parametrize(
        "part",
        [
            {"variables": {f"v{n}": "x" for n in range(4000)}, "seed": [f"{{{{ w{n} }}}}" for n in range(4000)]},
            {"targets": {f"t{n}": {} for n in range(4000)}, "phases": [{"faults": [{"target": "x"}] * 900}]},
            {"abort_if": [{"probe": "x"}] * 2000, "probes": {f"p{n}": {"tpye": "http"} for n in range(1900)}},
            {"seed": "{{" * 400_000},
            {"seed": "{{ x }}" * 120_000},
            {"metadata": {"name": "x" * 900_000}},
            {f"f{n}": 1 for n in range(4900)},
        ],
    )  # fmt: skip
    def test_of_a_large_file_full_of_mistakes(self, part: dict[str, object]) -> None:
        """A hundred problems are told, and none of it takes long or much room."""
        told = problems(json.dumps({**DOCUMENT, **part}))
        assert 1 <= len(told) <= 100
        assert len(str(InvalidScenario(told))) < 200_000

    @given(st.one_of(st.text(), st.binary()))
    def test_of_garbage(self, text: str | bytes) -> None:
        """Text and bytes without any sense."""
        self.survives(text)

    @given(st.text(alphabet="ab:-,[]{}&*!|>'\"#%@?\\ \n\t~0123ux{}"))
    def test_of_yaml_like_garbage(self, text: str) -> None:
        """The characters that mean something to YAML."""
        self.survives(text)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        ["name", "type", "target", "probe", "container", "faults", "at", "for", "assert", "x"]
                    ),
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=20,
        ),
        st.sampled_from(list(DOCUMENT)),
    )
    def test_of_any_value_in_any_field(self, value: object, key: str) -> None:
        """The good scenario with one field replaced by anything."""
        self.survives(json.dumps({**DOCUMENT, key: value}))

    @given(st.data())
    def test_of_a_torn_file(self, data: st.DataObject) -> None:
        """The starter with a piece cut out and something put in."""
        text = starter_text()
        first = data.draw(st.integers(0, len(text)))
        last = data.draw(st.integers(first, min(len(text), first + 40)))
        self.survives(text[:first] + data.draw(st.text(max_size=5)) + text[last:])

    @given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["service", "outage"]), st.text(), max_size=3))
    def test_of_any_variables(self, variables: dict[str, str]) -> None:
        """Any name and any value."""
        self.survives(GOOD, variables)
