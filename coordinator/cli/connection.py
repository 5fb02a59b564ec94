"""Where a command acts: the coordinator at --server, else the one that holds this DATA_DIR, else an embedded one."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import anyio
import click
from pydantic import SecretStr

from coordinator.cli.output import note
from coordinator.cli.tools import Where
from coordinator.client import HttpControl, NoAnswer
from coordinator.errors import DataDirInUse
from coordinator.settings import TOKEN, Settings
from coordinator.token import resolve_token

if TYPE_CHECKING:
    from coordinator.ports import Control

ENDPOINTS: Final = "endpoints.json"
TOKEN_VARIABLE: Final = "TEST_COORDINATOR_TOKEN"  # noqa: S105  # the name of a variable
HEALTH_WITHIN_S: Final = 2.0
LOOK_AGAIN_S: Final = 0.2


class Endpoint(NamedTuple):
    """What a running coordinator says of itself in DATA_DIR."""

    pid: int
    instance: str
    http: str
    ports: dict[str, int]
    """The ports it listens on, by `http` and `grpc`."""
    certificate: Path | None


def endpoint(settings: Settings) -> Endpoint | None:
    """What endpoints.json says, perhaps of a coordinator long gone; None when there is none that can be read."""
    try:
        said = json.loads((settings.data_dir / ENDPOINTS).read_text(encoding="utf-8"))
        certificate = Path(said["http_tls_cert"]) if "http_tls_cert" in said else None
        url = _url(str(said["http"]), secure=certificate is not None)
        found = {"http": urlsplit(url).port, "grpc": urlsplit(f"//{said.get('grpc', '')}").port}
        ports = {name: port for name, port in found.items() if port is not None}
        return Endpoint(int(said["pid"]), str(said["instance"]), url, ports, certificate)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@asynccontextmanager
async def connect(settings: Settings, where: Where, *, recovery: bool) -> AsyncIterator[Control]:
    """The coordinator that is meant. Raises NoAnswer for --server, DataDirInUse when `wait_s` has passed in vain."""
    async with AsyncExitStack() as stack:
        if where.server is not None:
            yield await _given(stack, settings, where)
        else:
            yield await _own(stack, settings, where, recovery=recovery)


async def running(stack: AsyncExitStack, settings: Settings) -> HttpControl | None:
    """The coordinator that holds this DATA_DIR, when it answers and is who it says."""
    said = endpoint(settings)
    if said is None:
        return None
    try:
        verify = _trust(said.certificate)
    except OSError:
        return None
    # Asked without the token: another program may have taken the port since.
    async with HttpControl.opened(said.http, SecretStr(""), verify=verify) as stranger:
        try:
            health = await stranger.health(HEALTH_WITHIN_S)
        except NoAnswer:
            return None
    if health.instance != said.instance:
        return None
    opened = HttpControl.opened(said.http, resolve_token(settings), verify=verify)
    return await stack.enter_async_context(opened)


async def _given(stack: AsyncExitStack, settings: Settings, where: Where) -> HttpControl:
    url = (where.server or "").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--server {url}: allowed: a URL like http://127.0.0.1:8080")
    said = endpoint(settings)
    own = said is not None and url == said.http
    if where.token_file is not None:
        token = _token(f"--token-file {where.token_file}", _content(where.token_file))
    elif os.environ.get(TOKEN_VARIABLE):
        token = _token(TOKEN_VARIABLE, os.environ[TOKEN_VARIABLE])
    elif own:
        token = resolve_token(settings)
    else:
        raise click.UsageError(
            f"--server {url} is not this DATA_DIR's coordinator: give --token-file or {TOKEN_VARIABLE}"
        )
    try:
        # The system's authorities and SSL_CERT_FILE, so that a private one can be trusted.
        foreign = url.startswith("https://") and not own
        verify = ssl.create_default_context() if foreign else _trust(said.certificate if said and own else None)
    except OSError as unreadable:
        raise click.UsageError(f"--server {url}: its certificate cannot be read: {unreadable}") from unreadable
    control = await stack.enter_async_context(HttpControl.opened(url, token, verify=verify))
    await control.health()
    return control


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise click.UsageError(f"--token-file {path}: cannot be read as a token: {unreadable}") from unreadable


def _token(origin: str, text: str) -> SecretStr:
    """Checked here: an error further in would show it."""
    if TOKEN.fullmatch(text.strip()) is None:
        raise click.UsageError(f"{origin}: must hold one token: visible ASCII characters without spaces")
    return SecretStr(text.strip())


async def _own(stack: AsyncExitStack, settings: Settings, where: Where, *, recovery: bool) -> Control:
    from coordinator.assembly import embedded

    deadline = anyio.current_time() + where.wait_s
    while True:
        found = await running(stack, settings)
        if found is not None:
            return found
        try:
            return await stack.enter_async_context(embedded(settings, recovery=recovery, say=note))
        except DataDirInUse:
            # It may be starting, about to answer; or another run, about to end.
            if anyio.current_time() >= deadline:
                raise
        await anyio.sleep(LOOK_AGAIN_S)


def _url(http: str, *, secure: bool) -> str:
    scheme = "https" if secure else "http"
    return (http if "://" in http else f"{scheme}://{http}").rstrip("/")


def _trust(certificate: Path | None) -> ssl.SSLContext | bool:
    """With TLS of our own: exactly our own certificate, whatever name it bears. Raises OSError for no such file."""
    if certificate is None:
        return True
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # Newer Pythons ask of an authority what a certificate that stands for itself need not have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
