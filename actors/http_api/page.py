"""The page a browser gets at `/`: which service this is and where its API begins."""

from __future__ import annotations

from html import escape

from quart import Blueprint, Response

from coordinator.identity import Identity

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{instance}</title></head>
<body>
<h1>{instance}</h1>
<p>{service} {version} ({environment}): breaks containers on purpose, watches what happens, puts things back.</p>
<ul>
<li><a href="/api/v1/health">/api/v1/health</a></li>
<li><a href="/api/v1/ready">/api/v1/ready</a></li>
<li><a href="/metrics">/metrics</a></li>
</ul>
<p>The rest of the API below /api/v1 takes the token in <code>Authorization: Bearer</code>.</p>
</body>
</html>
"""


def routes(identity: Identity) -> Blueprint:
    """GET /."""
    blueprint = Blueprint("page", __name__)
    names = {name: escape(str(getattr(identity, name))) for name in ("instance", "service", "version", "environment")}
    text = _PAGE.format(**names)

    @blueprint.get("/")
    async def show() -> Response:
        return Response(text, content_type="text/html; charset=utf-8")

    return blueprint
