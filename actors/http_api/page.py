"""The dashboard: the page a browser gets at `/`, and the files it is made of. Knows nothing of what they show.

All files are read once at the start and answered from memory: no request names a file on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from quart import Blueprint, Response

from actors.http_api import problems
from coordinator.identity import Identity
from coordinator.reports.html import colours

_FOLDER: Final = files("actors.http_api") / "static"
_PAGE: Final = "index.html"
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""By the ending of a file's name; others are not served."""


def routes(identity: Identity) -> Blueprint:
    """GET / and the static files."""
    blueprint = Blueprint("page", __name__)
    text = (_FOLDER / _PAGE).read_text("utf-8")
    for name in ("instance", "service", "version", "environment"):
        text = text.replace(f"[[{name}]]", escape(str(getattr(identity, name))))
    served = static_files()

    @blueprint.get("/")
    async def show() -> Response:
        return Response(text, content_type="text/html; charset=utf-8")

    @blueprint.get("/static/<name>")
    async def static(name: str) -> Response:
        if name not in served:
            return problems.respond(HTTPStatus.NOT_FOUND, "there is no such file")
        data, media_type = served[name]
        return Response(data, content_type=media_type)

    return blueprint


def static_files() -> Mapping[str, tuple[bytes, str]]:
    """Bytes and media type of each file by its name."""
    # Those of the reports, so that both look alike.
    found = {"colours.css": (colours().encode(), _TYPES["css"])}
    for file in _FOLDER.iterdir():
        media_type = _TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            found[file.name] = (file.read_bytes(), media_type)
    return found
