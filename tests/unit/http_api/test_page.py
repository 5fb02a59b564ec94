import re

import pytest
from quart import Quart

from actors.http_api.page import routes, static_files
from coordinator.identity import Identity
from coordinator.reports.html import colours
from tests.unit.http_api.conftest import Client

pytestmark = pytest.mark.anyio
MAX_BYTES = 300_000
# What would put others' text into the page as markup, or run it.
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|localStorage|cookie"
)


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The texts of the dashboard's files by name."""
    return {name: data.decode() for name, (data, _) in static_files().items()}


def test_it_is_small(files: dict[str, str]) -> None:
    """All files together have less than 300 kB, and no module is longer than any other module may be."""
    assert sum(map(len, files.values())) < MAX_BYTES
    assert {name: lines for name, text in files.items() if (lines := text.count("\n")) > 400} == {}


def test_no_text_becomes_markup(files: dict[str, str]) -> None:
    """No module can turn a text into markup or code, keeps the token beyond the tab, or sets a cookie."""
    assert {name: found for name, text in files.items() if (found := DANGEROUS.findall(text))} == {}


def test_nothing_comes_from_elsewhere(files: dict[str, str]) -> None:
    """Every module that is imported is one of the files, and no file names another host."""
    imported = {name for text in files.values() for name in re.findall(r'from "\./([\w.]+)"', text)}
    assert imported <= set(files)
    namespace = "http://www.w3.org/2000/svg"
    assert [name for name, text in files.items() if "://" in text.replace(namespace, "")] == []


def test_the_dashboard_has_the_colours_of_the_reports(files: dict[str, str]) -> None:
    """They are defined in one place: the sheet that reports hold; the dashboard's own uses only what is in it."""
    assert files["colours.css"] == colours()
    assert set(re.findall(r"var\((--[\w-]+)\)", files["style.css"])) <= set(re.findall(r"(--[\w-]+):", colours()))
    assert not re.search(r"--[\w-]+:", files["style.css"])


async def test_files_need_no_token(client: Client, files: dict[str, str]) -> None:
    """Each file is served with its type to anybody, under the policy that forbids inline code; others are 404."""
    for name, text in files.items():
        answer = await client.ask("GET", f"/static/{name}", headers={"Authorization": None})
        assert (answer.status, answer.text) == (200, text)
        assert answer.headers["Content-Security-Policy"] == "default-src 'self'"
    style = await client.ask("GET", "/static/style.css", headers={"Authorization": None})
    assert style.headers["Content-Type"] == "text/css; charset=utf-8"
    for other in ("index.html", "nothing.js", "..%2fpage.py", "%2e%2e/page.py"):
        answer = await client.ask("GET", f"/static/{other}", headers={"Authorization": None})
        assert answer.status == 404, other


async def test_the_page_has_nothing_inline(client: Client) -> None:
    """The page loads all script and style from files, so that the policy can forbid the rest; no cookie is set."""
    answer = await client.ask("GET", "/", headers={"Authorization": None})
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", answer.text) == []
    assert "Set-Cookie" not in answer.headers


async def test_names_are_text_in_the_page() -> None:
    """An instance or environment with markup in its name is shown, not obeyed."""
    app = Quart("page", static_folder=None)
    hostile = "<img src=x onerror=alert(1)>"
    app.register_blueprint(routes(Identity("test-coordinator", hostile, hostile, "1", "schema", "namespace")))
    text = await (await app.test_client().get("/")).get_data(as_text=True)
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
