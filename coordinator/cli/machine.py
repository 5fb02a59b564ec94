"""What this machine says of itself, without an engine or a coordinator: a socket, a port, a folder."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

PortState = Literal["free", "any", "in use", "not allowed"]


def socket_error(endpoint: str) -> str:
    """Why the socket of a `unix://` endpoint cannot be used by this user; empty when it can, or is none."""
    parts = urlsplit(endpoint)
    if parts.scheme != "unix":
        return ""
    path = Path(parts.path)
    try:
        if not path.is_socket():
            what = "is no socket" if path.exists() else "does not exist"
            return f"{path} {what}: start Docker, or set DOCKER_HOST"
    except PermissionError:
        return f"{path} cannot be seen by this user: add it to the docker group, or run as root"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{path} refuses this user: add it to the docker group and log in again, or run as root"
    return ""


def port_state(host: str, port: int) -> PortState:
    """Whether a server could listen there now."""
    if port == 0:
        return "any"
    literal = host.removeprefix("[").removesuffix("]")
    with socket.socket(socket.AF_INET6 if ":" in literal else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((literal, port))
        except OSError as failed:
            return "not allowed" if failed.errno == errno.EACCES else "in use"
    return "free"


def data_dir_error(folder: Path) -> str:
    """Why this user cannot write there; empty when it can, in a folder that is made where it is missing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as failed:
        return f"{folder}: {failed.strerror}: set DATA_DIR to a folder this user may write"
