"""The examples of docs/reference/probes.md, read as a scenario would be."""

import re
from typing import get_args

import pytest
import yaml
from pydantic import TypeAdapter

from coordinator.scenarios.probes import AnyProbe, Probe
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "reference" / "probes.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
PROBES: TypeAdapter[dict[str, Probe]] = TypeAdapter(dict[str, AnyProbe])


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_valid(text: str) -> None:
    """Every example of the page is what a scenario may say."""
    assert PROBES.validate_python(yaml.safe_load(text)["probes"])


def test_every_type_is_told_of_and_shown() -> None:
    """Each probe type has a chapter and stands in an example."""
    shown = {
        probe.type for text in EXAMPLES for probe in PROBES.validate_python(yaml.safe_load(text)["probes"]).values()
    }
    types = {model.model_fields["type"].default for model in get_args(Probe)}
    assert shown == types
    assert types <= set(re.findall(r"^## (\w+)$", PAGE, flags=re.MULTILINE))
