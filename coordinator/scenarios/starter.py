"""The scenario that `init` writes, about a container that is there. Pure: text and facts in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from coordinator.faults.facts import ContainerFacts, ContainerState, PublishedPort

_FOLDER_LABEL: Final = "com.docker.compose.project.working_dir"
# Of databases, caches and brokers: published as well, and yet no site to look at.
_NO_SITE: Final = frozenset({1433, 1521, 3306, 4222, 5432, 5672, 6379, 9042, 9092, 11211, 27017})
_NAME_LINE: Final = re.compile(r"^(  name: ).*$", re.MULTILINE)
_SERVICE_LINES: Final = re.compile(r"^  project: .*\n  service: .*\n", re.MULTILINE)
_URL_LINE: Final = re.compile(r"^  url: .*\n", re.MULTILINE)
_VARIABLE_LINE: Final = r"^(  {}: ).*$"
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/\[\]-]*")
_BY_SERVICE: Final = '    compose_project: "{{ project }}"\n    compose_service: "{{ service }}"\n    pick: 1\n'
_BY_NAME: Final = '    names: ["{{ container }}"]\n'
_BY_URL: Final = '    url: "{{ url }}"\n'


def suited(containers: Iterable[ContainerFacts], folder: str) -> ContainerFacts | None:
    """The container a first scenario is best about: one of the Compose project of this folder, else of the only project
    there is; one that publishes a port before others. None where that would be a guess.
    """
    running = [one for one in containers if one.state is ContainerState.RUNNING and one.compose_service]
    here = [one for one in running if one.labels.get(_FOLDER_LABEL) == folder]
    projects = {one.compose_project for one in running}
    chosen = here or (running if len(projects) == 1 else [])
    return min(chosen, key=_order, default=None)


def starter(text: str, name: str, container: ContainerFacts | None) -> str:
    """The commented scenario `text` under `name`, about `container` where one is given."""
    text = _NAME_LINE.sub(lambda found: found[1] + name, text, count=1)
    if container is None:
        return text
    text = _aimed(text, container)
    published, inside = _published(container), _inside(container)
    if published is not None:
        return _with(text, "url", f"http://{_host(published)}:{published.host_port}/")
    if inside is None:
        return text
    asked = (
        f"    target: web  # the container's own address, as it publishes no port\n    port: {inside}\n    path: /\n"
    )
    text = _URL_LINE.sub("", text, count=1)
    return text.replace(_BY_URL, asked, 1)


def _aimed(text: str, container: ContainerFacts) -> str:
    if container.compose_service:
        text = _with(text, "project", container.compose_project)
        return _with(text, "service", container.compose_service)
    text = _SERVICE_LINES.sub(lambda _: f"  container: {_scalar(container.name)}\n", text, count=1)
    return text.replace(_BY_SERVICE, _BY_NAME, 1)


def _with(text: str, variable: str, value: str) -> str:
    line = re.compile(_VARIABLE_LINE.format(variable), re.MULTILINE)
    return line.sub(lambda found: found[1] + _scalar(value), text, count=1)


def _scalar(value: str) -> str:
    """In quotes where YAML would read it otherwise."""
    return value if _PLAIN.fullmatch(value) else json.dumps(value)


def _order(container: ContainerFacts) -> tuple[bool, bool, str, str]:
    port = _published(container)
    site = port is not None and port.container_port not in _NO_SITE
    return not site, port is None, container.compose_service, container.name


def _published(container: ContainerFacts) -> PublishedPort | None:
    tcp = [port for port in container.ports if port.protocol == "tcp" and port.host_port]
    return min(tcp, key=lambda port: (port.container_port in _NO_SITE, port.host_port), default=None)


def _inside(container: ContainerFacts) -> int | None:
    return min((port.container_port for port in container.ports if port.protocol == "tcp"), default=None)


def _host(port: PublishedPort) -> str:
    if port.host_ip in {"", "0.0.0.0", "::"}:  # noqa: S104  # compared with, not listened on
        return "127.0.0.1"
    return f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
