"""A good scenario text, and what is wrong with others."""

import pytest
import yaml

from coordinator.errors import InvalidScenario, Problem
from coordinator.scenarios.parse import Parsed, parse

GOOD = """\
apiVersion: test-coordinator/v1
kind: Scenario
metadata: {name: s}
variables: {service: web, outage: 10s}
targets:
  web: {compose_service: "{{ service }}", pick: 1}
probes:
  api: {type: http, url: "http://127.0.0.1:8000/{{service}}", every: 100ms, expect: {status: 200}}
steady_state:
  - {probe: api, availability: ">= 99%", for: 3s}
phases:
  - name: outage
    duration: "{{ outage }}"
    faults:
      - {type: service_kill, target: web, at: 1s}
    assert:
      - {probe: api, availability: ">= 90%"}
  - name: recovery
    wait_until: {probe: api, steady_for: 3s, timeout: 30s}
abort_if:
  - {probe: api, unavailable_for: 15s}
"""
DOCUMENT = yaml.safe_load(GOOD)


def problems(text: str | bytes, **variables: str) -> tuple[Problem, ...]:
    """What is wrong with a text."""
    with pytest.raises(InvalidScenario) as caught:
        parse(text, file="f.yaml", variables=variables)
    return caught.value.problems


def only(text: str | bytes, **variables: str) -> Problem:
    """The one thing that is wrong with a text."""
    (problem,) = problems(text, **variables)
    return problem


def changed(old: str, new: str) -> Problem:
    """The one thing that is wrong when a part of the good scenario is replaced."""
    assert old in GOOD
    return only(GOOD.replace(old, new, 1))


def read(text: str | bytes, **variables: str) -> Parsed:
    """The parsed text."""
    return parse(text, file="f.yaml", variables=variables)
