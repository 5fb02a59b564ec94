from itertools import pairwise
from typing import get_args

import pytest
import yaml
from pydantic import TypeAdapter

from coordinator.errors import NotFound
from coordinator.faults.catalogue import KINDS, AnyFault, Fault, FaultDoc, ParameterDoc, describe, describe_all
from coordinator.faults.commands import DockerCommand
from coordinator.faults.commentary import COMMENTS
from coordinator.faults.facts import ContainerState
from coordinator.record import FaultClass
from tests.conftest import ROOT
from tests.unit.faults.test_odd_targets import example, planned

PAGE = (ROOT / "docs" / "reference" / "faults.md").read_text()
COMMON = PAGE.partition("\n## Every fault\n")[2].partition("\n## ")[0]
COMMON_NAMES = ("target", "at", "for", "on_target_restart", "max_skew")
FAULT: TypeAdapter[object] = TypeAdapter(AnyFault)


def test_the_table_is_what_scenarios_may_write() -> None:
    """Every fault of the scenario model is in the table under every name it takes, and nothing else is."""
    written = {name: kind for kind in get_args(Fault) for name in get_args(kind.model_fields["type"].annotation)}

    assert dict(KINDS) == written


@pytest.mark.parametrize("name", KINDS)
def test_an_alias_is_described_as_its_fault(name: str) -> None:
    """By any of its names a fault has one description, which lists the others."""
    doc = describe(name)

    assert name in {doc.name, *doc.aliases}
    assert describe(doc.name) == doc


def test_an_unknown_fault_is_refused_with_the_nearest() -> None:
    """A misspelt name is answered with all names and the likely one."""
    with pytest.raises(NotFound, match=r"container_pause, process_kill, .*; did you mean 'container_pause'\?"):
        describe("container_pose")
    with pytest.raises(NotFound, match=r"http_call$"):
        describe("zzz")


def test_parameters_have_units_and_defaults() -> None:
    """Parameters read as a file writes them: own ones first, durations with their unit, no default where required."""
    stop = [(each.name, each.unit, each.default) for each in describe("container_stop").parameters]
    kill = {each.name: (each.unit, each.default) for each in describe("container_kill").parameters}
    execute = {each.name: (each.unit, each.default) for each in describe("exec").parameters}

    assert stop == [
        ("grace", "duration", "10s"),
        ("target", "text", None),
        ("at", "duration", "0s"),
        ("for", "duration", "none"),
        ("on_target_restart", "text", "end"),
        ("max_skew", "duration", "none"),
    ]
    assert kill["signal"] == ("text", "SIGKILL")
    assert kill["restore"] == ("true or false", "true")
    assert execute["command"] == ("list of text", None)
    assert execute["undo_command"] == ("list of text", "none")


def test_every_fault_says_what_proves_it_and_what_others_call_it() -> None:
    """A fault that has no comment yet is named here: write one in coordinator/faults/commentary.py."""
    assert {describe(name).name for name in KINDS if describe(name).name not in COMMENTS} == set()


@pytest.mark.parametrize("doc", describe_all(), ids=lambda doc: doc.name)
def test_an_example_is_a_valid_fault(doc: FaultDoc) -> None:
    """The example of each fault loads as that fault."""
    example = yaml.load(doc.example, Loader=yaml.BaseLoader)  # noqa: S506  # builds only text, lists and mappings

    assert isinstance(FAULT.validate_python(example), KINDS[doc.name])


def row(parameter: ParameterDoc) -> str:
    """A parameter as the page has it."""
    return f"| `{parameter.name}` | {parameter.unit} | {parameter.default or 'required'} | {parameter.meaning} |"


@pytest.mark.parametrize("doc", describe_all(), ids=lambda doc: doc.name)
def test_the_reference_page_tells_all(doc: FaultDoc) -> None:
    """The page has each fault's section with all that is told of it, and its own parameters."""
    _, _, after = PAGE.partition(f"\n## {doc.name}\n")
    section, _, _ = after.partition("\n## ")

    told = (doc.summary, doc.undo, doc.mechanism, doc.needs, doc.proof, doc.elsewhere, doc.example)
    for text in (*told, doc.fault_class.value, *doc.aliases):
        assert text in section
    assert f"\n- capabilities: {', '.join(doc.capabilities) or 'none'}\n" in section
    own = [parameter for parameter in doc.parameters if row(parameter) not in COMMON]
    assert [row(each) for each in own if row(each) not in section.splitlines()] == []
    assert {each.name for each in doc.parameters} - {each.name for each in own} <= set(COMMON_NAMES)


@pytest.mark.parametrize("doc", describe_all(), ids=lambda doc: doc.name)
def test_the_capabilities_told_are_those_that_helpers_get(doc: FaultDoc) -> None:
    """What a fault does, and how it is undone, asks for these and no others."""
    spec = example(doc)
    given: set[str] = set()
    for target in planned(spec, ContainerState.RUNNING).targets:
        undos = (target.undo.command, target.undo.mend) if target.undo else ()
        for command in (target.inject, target.keep, *undos):
            argv = command.argv if isinstance(command, DockerCommand) else ()
            given |= {word for option, word in pairwise(argv) if option == "--cap-add"}
    assert given == set(doc.capabilities)
    assert not given or spec.by_helper


def test_only_faults_of_the_network_and_stressors_end_by_themselves() -> None:
    """Whatever the engine does to a container depends on its recorded undo; the kernel's rules and stressors do not."""
    leases = {doc.name for doc in describe_all() if doc.fault_class is FaultClass.LEASE}
    network = {describe(name).name for name in KINDS if name.startswith("network_")}
    assert leases == network - {"network_disconnect"} | {"dns_failure", "cpu_stress", "memory_stress", "disk_io_stress"}
