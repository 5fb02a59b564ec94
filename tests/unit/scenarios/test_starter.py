"""The starter: about what is there, and never a guess."""

import pytest

from coordinator.faults.facts import ContainerFacts, ContainerState, PublishedPort
from coordinator.scenarios.model import Scenario
from coordinator.scenarios.parse import parse, starter_text
from coordinator.scenarios.probes import HttpProbe
from coordinator.scenarios.starter import starter, suited

FOLDER = "/home/me/shop"


def container(
    service: str, *ports: PublishedPort, project: str = "shop", folder: str = FOLDER, state: str = "running"
) -> ContainerFacts:
    """A container of a Compose project; without a service one that was run by hand."""
    compose = {"project": project, "service": service, "project.working_dir": folder} if service else {}
    return ContainerFacts(
        id=service or "lone",
        name=f"{project}-{service}-1" if service else "lone",
        image="i",
        state=ContainerState(state),
        labels={f"com.docker.compose.{key}": value for key, value in compose.items()},
        ports=ports,
    )


def port(inside: int, outside: int = 0, address: str = "0.0.0.0", protocol: str = "tcp") -> PublishedPort:
    """A port of a container; without an outside one it is only exposed."""
    return PublishedPort(container_port=inside, host_port=outside, host_ip=address, protocol=protocol)


def written(about: ContainerFacts | None) -> Scenario:
    """What `init` would write, read again without a word."""
    parsed = parse(starter(starter_text(), "first", about), file="first.yaml")
    assert parsed.warnings == ()
    assert parsed.scenario.metadata.name == "first"
    return parsed.scenario


def site(scenario: Scenario) -> HttpProbe:
    """The starter's probe."""
    probe = scenario.probes["site"]
    assert isinstance(probe, HttpProbe)
    return probe


def test_this_folders_project_comes_first() -> None:
    """Among several projects the one that was brought up in this folder is meant."""
    here, there = container("web"), container("api", project="other", folder="/elsewhere")
    assert suited([there, here], FOLDER) == here


def test_the_only_project_is_meant_from_anywhere_and_of_several_none() -> None:
    """From another folder the one project that runs is meant; with two, or with none, nobody is."""
    web, other = container("web"), container("api", project="other")
    assert suited([web], "/elsewhere") == web
    assert suited([web, other], "/elsewhere") is None
    assert suited([container("")], FOLDER) is None
    assert suited([container("web", state="exited")], FOLDER) is None


def test_a_published_site_comes_before_a_database() -> None:
    """A service that publishes what may be a site, then one that publishes anything, then by name."""
    cache, db = container("a-cache"), container("db", port(5432, 5432))
    web = container("web", port(8443, 9000), port(80, 8080))
    assert suited([cache, db, web], FOLDER) == web
    assert suited([cache, db], FOLDER) == db
    assert suited([cache, container("b")], FOLDER) == cache


@pytest.mark.parametrize(
    ("ports", "url"),
    [
        ((port(80, 8080),), "http://127.0.0.1:8080/"),
        ((port(80, 8080, "10.0.0.5"),), "http://10.0.0.5:8080/"),
        ((port(80, 8080, "::1"),), "http://[::1]:8080/"),
        ((port(53, 5353, protocol="udp"), port(5432, 5432), port(80, 8080)), "http://127.0.0.1:8080/"),
    ],
)
def test_the_site_is_what_is_published(ports: tuple[PublishedPort, ...], url: str) -> None:
    """The probe asks the published TCP port, at the address that it is published on."""
    assert site(written(container("web", *ports))).url == url


def test_a_site_that_is_not_published_is_asked_inside() -> None:
    """A port that is only exposed is asked at the container's own address."""
    probe = site(written(container("web", port(8000))))
    assert (probe.url, probe.target, probe.port) == (None, "web", 8000)


def test_a_container_without_a_service_is_meant_by_name() -> None:
    """What was run by hand has no service: the target is its name."""
    target = written(container("", port(80, 8080))).targets["web"]
    assert (target.names, target.compose_service, target.pick) == (("lone",), None, "all")


def test_odd_names_are_put_in_as_they_are() -> None:
    """A name that YAML would read otherwise stands in quotes."""
    target = written(container("web #1: {x}", project="no")).targets["web"]
    assert (target.compose_project, target.compose_service) == ("no", "web #1: {x}")


def test_without_a_container_it_is_as_it_is() -> None:
    """Only the name is put in."""
    assert starter(starter_text(), "my-first-scenario", None) == starter_text()
