"""A headless Chromium on the dashboard of a coordinator, as a person uses it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.integration.coordinator_process import Coordinator

WITHIN_MS = 30_000
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NARROW = (360, 740)
WIDE = (1280, 900)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Fails with the command that brings it."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("Chromium is missing: run tools/provision.sh chromium")
    expect.set_options(timeout=WITHIN_MS)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, headless=True, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Dashboard:
    """One tab, with everything that its console complained of."""

    def __init__(self, page: Page, served: Coordinator) -> None:
        """A page that shows nothing yet."""
        self.page = page
        self.served = served
        self.complaints: list[str] = []
        page.set_default_timeout(WITHIN_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._heard(message.type, message.text))

    def _heard(self, kind: str, text: str) -> None:
        # Chromium itself reports every answer of 400 and more; the page tells of those.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.complaints.append(text)

    def open(self, place: str = "#/") -> None:
        """Go to a view, with the token."""
        self.page.goto(f"{self.served.url}/{place}")
        shown = self.page.locator("h1")
        expect(shown).to_be_visible()
        if shown.inner_text() == "Which token?":
            self.page.locator("#token").fill(self.served.token)
            self.page.get_by_role("button", name="Use this token").click()
        expect(self.page.get_by_role("button", name="Forget the token")).to_be_visible()

    def fits(self) -> bool:
        """Whether nothing makes the page wider than its window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
