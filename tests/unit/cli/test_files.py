import json
from pathlib import Path

import pytest

from coordinator.cli.tools import Tools
from coordinator.faults.facts import ContainerFacts, ContainerState, PublishedPort
from coordinator.ports import Candidate
from coordinator.scenarios.parse import parse
from tests.unit.cli.conftest import Call
from tests.unit.cli.scripted import ScriptedControl


def candidates(folder: str) -> tuple[Candidate, ...]:
    """A Compose service that was brought up in `folder`, and a container of nobody's."""
    compose = {"project": "shop", "service": "web", "project.working_dir": folder}
    web = ContainerFacts(
        id="1" * 64,
        name="shop-web-1",
        image="i",
        state=ContainerState.RUNNING,
        labels={f"com.docker.compose.{key}": value for key, value in compose.items()},
        ports=(PublishedPort(container_port=80, host_ip="0.0.0.0", host_port=8080),),
    )
    lone = ContainerFacts(id="2" * 64, name="lone", image="i", state=ContainerState.RUNNING)
    return tuple(Candidate(container=one, why_not=None) for one in (lone, web))


def test_a_valid_file_is_ok(call: Call) -> None:
    """A line a file on standard output, exit code 0."""
    said = call("validate", "kill.yaml")
    assert (said.code, said.out, said.err) == (0, "kill.yaml: ok\n", "")


def test_every_problem_of_every_file_is_told(call: Call, workplace: Path) -> None:
    """All errors of all files are told, with file and line; good files are still ok; exit code 2."""
    good = (workplace / "kill.yaml").read_text()
    (workplace / "bad.yaml").write_text(good.replace("duration: 1s", "duration: 1").replace("kind:", "kid:"))
    (workplace / "worse.yaml").write_bytes(b"\xff\xfe\x00")
    said = call("validate", "bad.yaml", "kill.yaml", "worse.yaml", "none.yaml")
    assert (said.code, said.out) == (2, "kill.yaml: ok\n")
    lines = said.err.splitlines()
    assert [line for line in lines if line.startswith("bad.yaml:") and "kid" in line]
    assert [line for line in lines if line.startswith("bad.yaml:") and "did you mean 1s" in line]
    assert [line for line in lines if line.startswith("worse.yaml")]
    assert [line for line in lines if "none.yaml" in line]


def test_a_file_too_large_is_refused(call: Call, workplace: Path) -> None:
    """Ten megabytes are told to be too many, and are not read to the end."""
    (workplace / "big.yaml").write_bytes(b"# " + b"x" * 10_000_000)
    said = call("validate", "big.yaml")
    assert said.code == 2
    assert len(said.err) < 500


def test_the_starter_is_valid_and_bears_its_name(call: Call, workplace: Path) -> None:
    """`init NAME` writes a scenario of that name that validates."""
    said = call("init", "my-first")
    assert (said.code, said.out) == (0, "my-first.yaml\n")
    text = (workplace / "my-first.yaml").read_text()
    assert parse(text, file="my-first.yaml").scenario.metadata.name == "my-first"
    assert call("validate", "my-first.yaml").code == 0


def test_the_starter_is_about_what_runs_here(call: Call, workplace: Path) -> None:
    """Of this folder's Compose project the starter has service and published port; the note names the container."""
    said = call("init", "outage", control=ScriptedControl(candidates=candidates(str(workplace))))
    assert (said.code, said.err.splitlines()[0]) == (0, "about shop-web-1, as it runs here; look at `url` in it, then")
    scenario = parse((workplace / "outage.yaml").read_text(), file="outage.yaml").scenario
    assert scenario.variables["url"] == "http://127.0.0.1:8080/"
    assert (scenario.targets["web"].compose_project, scenario.targets["web"].compose_service) == ("shop", "web")


def test_the_starter_is_about_the_container_that_is_named(call: Call, workplace: Path) -> None:
    """`--container` chooses; a name that is none is refused with the likely one, and nothing is written."""
    control = ScriptedControl(candidates=candidates("/elsewhere"))
    assert call("init", "outage", "--container", "lone", control=control).code == 0
    assert parse((workplace / "outage.yaml").read_text(), file="f").scenario.targets["web"].names == ("lone",)
    said = call("init", "other", "--container", "lon", control=control)
    assert (said.code, (workplace / "other.yaml").exists()) == (2, False)
    assert "did you mean 'lone'?" in said.err


def test_a_starter_needs_no_engine(call: Call, workplace: Path) -> None:
    """Where no engine answers, that is said, and the starter is about a service whose names are to be set."""
    said = call("init", control=ScriptedControl(candidates=None))
    why, following, _ = said.err.splitlines()
    assert (said.code, following.startswith("next: set `project`, `service` and `url`")) == (0, True)
    assert why.startswith("test-coordinator: ")
    assert call("validate", "my-scenario.yaml").code == 0
    assert call("init", "other", "--container", "lone", control=ScriptedControl(candidates=None)).code == 4
    assert not (workplace / "other.yaml").exists()


def test_a_starter_needs_no_engine_of_an_embedded_coordinator(
    call: Call, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same by the real way: nobody runs here, and the socket is not there."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{workplace}/none.sock")
    said = call("init", tools=Tools())
    assert (said.code, said.out) == (0, "my-scenario.yaml\n")
    assert "no such socket" in said.err
    # Nor the folder, which another run may hold.
    monkeypatch.setenv("DATA_DIR", "/dev/null/data")
    assert call("init", "second", tools=Tools()).code == 0
    assert call("init", "third", "--container", "web", tools=Tools()).code == 2


def test_init_never_overwrites(call: Call, workplace: Path) -> None:
    """A file that is there stays as it is, with exit code 2."""
    before = (workplace / "kill.yaml").read_text()
    said = call("init", "kill")
    assert (said.code, said.out) == (2, "")
    assert (workplace / "kill.yaml").read_text() == before


@pytest.mark.parametrize("name", ["../x", "A", "a b", ""])
def test_init_takes_only_names(call: Call, workplace: Path, name: str) -> None:
    """A name that is none, or a path, is refused and nothing is written."""
    before = set(workplace.rglob("*"))
    assert call("init", name).code == 2
    assert set(workplace.rglob("*")) == before


def test_schema_is_a_json_schema(call: Call) -> None:
    """`schema` prints a JSON Schema of scenarios."""
    schema = json.loads(call("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "phases" in schema["properties"]
