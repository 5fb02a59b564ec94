"""The dashboard in a real Chromium: an execution begun, watched and stopped; the red button; the token; no mouse."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.integration.browser import NARROW, WIDE, Dashboard, chromium
from tests.integration.coordinator_process import Coordinator, coordinator, eventually
from tests.integration.sandbox import Container, Sandbox

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
HOSTILE = "</pre><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
# `container` is a person's choice, `length` long enough that only a stop ends it.
SCENARIO = """\
apiVersion: test-coordinator/v1
kind: Scenario
metadata:
  name: watched
  description: {description}
  tags: [{description}]
variables:
  container: {container}   # the container that freezes {hostile}
  url: {url}
  length: 120s   # how long it is frozen
targets:
  web:
    names: ["{{{{ container }}}}"]
probes:
  api: {{type: http, url: "{{{{ url }}}}", every: 100ms, timeout: 400ms}}
phases:
  - {{name: before, duration: 1s}}
  - name: frozen
    duration: "{{{{ length }}}}"
    faults:
      - {{type: container_pause, target: web}}
    assert:
      - {{probe: api, availability: ">= 0%"}}
"""
VIEWS = ("#/", "#/scenarios", "#/scenarios/watched", "#/executions", "#/containers", "#/actors")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all; it is gone before other modules run event loops of their own."""
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def web(image: str) -> Iterator[Container]:
    """A container that answers HTTP and may be frozen."""
    sandbox = Sandbox(image)
    try:
        yield sandbox.run("web", command=("python3", "-m", "http.server", "8000"))
    finally:
        sandbox.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, web: Container) -> Iterator[Coordinator]:
    """A coordinator that keeps the scenario, whose texts are hostile."""
    with coordinator(tmp_path_factory.mktemp("dashboard")) as made:
        made.start()
        text = SCENARIO.format(
            container=web.name, url=f"http://{web.address}:8000/", description=json.dumps(HOSTILE), hostile=HOSTILE
        )
        answer = made.call("PUT", "/api/v1/scenarios/watched", json={"yaml": text})
        assert answer.status_code == 201, answer.text
        yield made


@pytest.fixture
def page(browser: Browser, served: Coordinator, web: Container) -> Iterator[Page]:
    """A tab of its own, without a token; whatever a test left running is stopped."""
    context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]}, accept_downloads=True)
    try:
        yield context.new_page()
    finally:
        context.close()
        served.call("DELETE", "/api/v1/faults")
        assert web.status == "running"


@pytest.fixture
def dashboard(page: Page, served: Coordinator) -> Iterator[Dashboard]:
    """The dashboard in this tab, which must not have complained at the end."""
    made = Dashboard(page, served)
    yield made
    assert made.complaints == []
    assert page.title() != "owned"
    assert page.locator("img").count() == 0


def begun(served: Coordinator, web: Container) -> str:
    """An execution that holds the container frozen; its id."""
    answer = served.call("POST", "/api/v1/executions", json={"scenario": "watched"})
    assert answer.status_code == 202, answer.text
    eventually(lambda: web.status == "paused", "the freeze")
    return str(answer.json()["id"])


def violations(page: Page) -> list[dict[str, Any]]:
    """What axe-core finds in what is shown."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return found


def answers(served: Coordinator) -> bool:
    """Whether the API is up; one that is just going may drop what it took."""
    try:
        return served.call("GET", "/api/v1/health").status_code == 200
    except httpx.TransportError:
        return False


def test_a_wrong_token_is_said_plainly(dashboard: Dashboard, served: Coordinator) -> None:
    """A wrong token is refused in words and asked for again; the right one stays in the tab until it is forgotten."""
    page = dashboard.page
    page.goto(served.url)
    page.locator("#token").fill("wrong")
    page.get_by_role("button", name="Use this token").click()
    expect(page.get_by_role("alert")).to_contain_text("This is not the token")
    expect(page.locator("#token")).to_be_focused()
    page.locator("#token").fill(served.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert page.context.cookies() == []
    page.get_by_role("button", name="Forget the token").click()
    expect(page.locator("#token")).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0


def test_an_execution_is_planned_begun_watched_and_stopped(
    dashboard: Dashboard, served: Coordinator, web: Container, tmp_path: Path
) -> None:
    """The plan comes before the button; then phase, countdown, events and charts are live until it is stopped."""
    page = dashboard.page
    dashboard.open("#/scenarios")
    page.get_by_role("link", name="watched").click()
    expect(page.get_by_label("container")).to_have_value(web.name)
    expect(page.get_by_text("how long it is frozen", exact=True)).to_be_visible()
    run = page.get_by_role("button", name="Run this plan")
    expect(run).to_have_count(0)
    page.get_by_label("length", exact=True).fill("soon")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("alert")).to_contain_text("soon")
    expect(run).to_have_count(0)
    page.get_by_label("length", exact=True).fill("90s")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("group", name="Targets of the plan")).to_contain_text(web.name)
    # Other values are another plan: the button goes with the old one.
    page.get_by_label("length", exact=True).fill("80s")
    expect(run).to_have_count(0)
    page.get_by_role("button", name="Show the plan").click()
    run.click()
    timeline = page.get_by_role("log", name="Timeline")
    expect(timeline).to_contain_text("fault effective")
    assert web.status == "paused"
    expect(page.locator(".facts")).to_contain_text("frozen")
    expect(page.locator(".facts")).to_contain_text(re.compile(r"\d+ s"))
    expect(page.locator(".chart .fault")).not_to_have_count(0)
    expect(page.locator(".chart .miss")).to_have_attribute("d", re.compile("M"))
    page.get_by_role("button", name="Stop and undo").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop and undo").click()
    expect(page.locator(".facts")).to_contain_text("aborted")
    expect(timeline).to_contain_text("fault undone")
    assert web.status == "running"
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the report as JSON").click()
    file = tmp_path / "report.json"
    waiting.value.save_as(file)
    report = json.loads(file.read_text())
    assert (report["verdict"], report["variables"]["length"]) == ("aborted", "80s")
    assert report["plan_hash"]


def test_the_red_button_asks_and_undoes(dashboard: Dashboard, served: Coordinator, web: Container) -> None:
    """Escape presses nothing; yes stops the execution, undoes the fault and says how many."""
    page = dashboard.page
    execution_id = begun(served, web)
    dashboard.open()
    expect(page.get_by_role("group", name="Outstanding faults")).to_contain_text(web.name)
    red = page.get_by_role("button", name="Stop everything, undo all")
    red.click()
    expect(page.get_by_role("button", name="No, go back")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(red).to_be_focused()
    assert web.status == "paused"
    red.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop everything, undo all").click()
    expect(page.get_by_role("alert")).to_contain_text("Could not be undone: 0.")
    assert web.status == "running"
    assert served.execution(execution_id)["verdict"] == "aborted"
    expect(page.get_by_text("None: everything is as it was.")).to_be_visible()


def test_one_fault_is_undone_and_an_actor_restarted(dashboard: Dashboard, served: Coordinator, web: Container) -> None:
    """An outstanding fault has a button of its own; an actor is restarted after a question and counted again."""
    page = dashboard.page
    begun(served, web)
    dashboard.open()
    page.get_by_role("button", name="Undo container pause on").click()
    expect(page.get_by_text("None: everything is as it was.")).to_be_visible()
    assert web.status == "running"
    page.get_by_role("link", name="Actors").click()
    page.get_by_role("button", name="Restart prober").click()
    page.get_by_role("dialog").get_by_role("button", name="Restart").click()
    expect(page.locator("#announcement")).to_contain_text("prober: restart done.")


def test_events_go_on_after_the_api_was_away(dashboard: Dashboard, served: Coordinator, web: Container) -> None:
    """While the API restarts the page says that it is disconnected; afterwards no event is missing and none doubled."""
    page = dashboard.page
    execution_id = begun(served, web)
    dashboard.open(f"#/executions/{execution_id}")
    expect(page.get_by_role("log")).to_contain_text("fault effective")
    served.call("POST", "/api/v1/actors/http_api/restart")
    expect(page.locator("#connection")).to_contain_text("Disconnected")
    eventually(lambda: answers(served), "the API")
    expect(page.locator("#connection")).to_be_empty()
    served.call("DELETE", f"/api/v1/executions/{execution_id}")
    expect(page.locator(".facts")).to_contain_text("aborted")
    told = len(served.execution(execution_id)["timeline"])
    expect(page.get_by_role("log").locator("li")).to_have_count(told)


def test_the_keyboard_is_enough(dashboard: Dashboard, served: Coordinator, web: Container) -> None:
    """From the token to a stopped execution with keys alone, each stop of the focus visible."""
    page = dashboard.page

    def go(name: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            held = page.locator(":focus")
            if held.count() and name in (held.get_attribute("aria-label") or held.text_content() or ""):
                assert held.evaluate("node => getComputedStyle(node).outlineStyle") != "none"
                return
        raise AssertionError(f"the Tab key does not reach {name}")

    page.goto(served.url)
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type(served.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_focused()
    go("Choose a scenario")
    page.keyboard.press("Enter")
    # The overview has links of that name too: to executions of other tests.
    expect(page.get_by_role("heading", name="Scenarios")).to_be_focused()
    expect(page.get_by_role("link", name="watched")).to_be_visible()
    go("watched")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Show the plan")).to_be_visible()
    go("Show the plan")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Plan")).to_be_focused()
    go("Run this plan")
    page.keyboard.press("Enter")
    eventually(lambda: web.status == "paused", "the freeze")
    expect(page.get_by_role("button", name="Stop and undo")).to_be_visible()
    go("Stop and undo")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="No, go back")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".facts")).to_contain_text("aborted")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_from_using_it(
    dashboard: Dashboard, served: Coordinator, web: Container, scheme: str
) -> None:
    """axe-core finds no violation in any view, wide or on a phone, which nothing makes wider than it is."""
    page = dashboard.page
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    execution_id = begun(served, web)
    page.goto(served.url)
    expect(page.locator("#token")).to_be_visible()
    assert violations(page) == []
    dashboard.open()
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert shade == ("rgb(18, 21, 27)" if scheme == "dark" else "rgb(246, 247, 249)")
    found: list[str] = []
    for view in (*VIEWS, f"#/executions/{execution_id}"):
        dashboard.open(view)
        if "executions/" in view:
            expect(page.locator(".chart .miss")).to_have_attribute("d", re.compile("M"))
        expect(page.locator("main table, main form, main .tree").first).to_be_visible()
        for width, height in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": height})
            found += [] if dashboard.fits() else [f"{view} at {width}: too wide"]
            found += [f"{view} at {width}: {one['id']}: {one['nodes'][0]['html']}" for one in violations(page)]
    assert found == []


def test_hostile_text_stays_text(dashboard: Dashboard) -> None:
    """Markup in a scenario's texts, its comments and an error is shown as it was written."""
    page = dashboard.page
    dashboard.open("#/scenarios")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    page.get_by_role("link", name="watched").click()
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    expect(page.locator(".hint").first).to_contain_text(HOSTILE)
    page.get_by_label("length", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("alert")).to_contain_text("<img src=x")


def test_a_report_is_a_page_that_needs_nothing(browser: Browser, served: Coordinator, web: Container) -> None:
    """Opened from the API, under its policy: it is styled, nothing is refused or missing, no one is kept from using it,
    and it fits a phone; also while the execution runs.
    """
    execution_id = begun(served, web)
    context = browser.new_context(extra_http_headers={"Authorization": f"Bearer {served.token}"})
    try:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for heading in ("Not finished", "Aborted"):
            page.goto(f"{served.url}/api/v1/executions/{execution_id}/report?format=html")
            expect(page.get_by_role("heading", level=1)).to_have_text(heading)
            assert page.locator("section").first.evaluate("it => getComputedStyle(it).borderRadius") == "8px"
            expect(page.get_by_role("img", name="Latency and failures of probe api")).to_be_visible()
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert violations(page) == []
            for width, height in (NARROW, WIDE):
                page.set_viewport_size({"width": width, "height": height})
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            served.call("DELETE", f"/api/v1/executions/{execution_id}")
            eventually(lambda: web.status == "running", "the undo")
            eventually(
                lambda: served.call("GET", f"/api/v1/executions/{execution_id}").json()["state"] == "finished",
                "the end",
            )
        assert complaints == []
        assert page.title() != "owned"
    finally:
        context.close()
