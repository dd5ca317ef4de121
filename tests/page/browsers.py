"""Real browsers, driven by Playwright: what they show and what they complain of."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, CDPSession, ConsoleMessage, Page

PHONE = {"width": 360, "height": 780}
DESKTOP = {"width": 1280, "height": 800}
# In a container there is no sandbox, and nothing but the page may use the network.
_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--in-process-gpu",
    "--disable-extensions",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What Chromium itself writes when the broker is away.
_AWAY = re.compile(r"WebSocket connection to '\S+' failed|net::ERR_INTERNET_DISCONNECTED")
PATIENCE_MS = 20_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium without a window; skips the test where there is none."""
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    why = "needs Playwright, which PyPI has for 64-bit machines only"
    with pytest.importorskip("playwright.sync_api", reason=why).sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=_OPTIONS)
        yield browser
        browser.close()


class Visitor:
    """Opens pages as different people do; `complaints` is what any of them wrote to the console or threw."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.complaints: list[str] = []
        # While the broker is away, Chromium says so.
        self.may_lose = False
        self._browser = browser
        self._address = address
        self._contexts: list[BrowserContext] = []

    def open(self, at: str = "", *, wait: bool = True, **context: Any) -> Page:  # noqa: ANN401 — Playwright's own
        """Open the page with a browser that has never been here; `at` is what follows in the address.

        Other arguments are those of Browser.new_context. Waits until tiles are there, unless told not to.
        """
        return self.again(self.someone(**context), at, wait=wait)

    def someone(self, **context: Any) -> BrowserContext:  # noqa: ANN401 — Playwright's own
        """Return a browser that has never been here."""
        # Nothing moves without end: it would cost as much as the tests.
        still = {
            "viewport": PHONE,
            "locale": "en-GB",
            "timezone_id": "Europe/Berlin",
            "reduced_motion": "reduce",
        }
        made = self._browser.new_context(**(still | context))
        made.set_default_timeout(PATIENCE_MS)
        self._contexts.append(made)
        return made

    def again(self, context: BrowserContext, at: str = "", *, wait: bool = True) -> Page:
        """Open the page once more in a browser that was here before."""
        return self.show(self.tab(context), at, wait=wait)

    def tab(self, context: BrowserContext) -> Page:
        """Open an empty tab whose complaints are heard."""
        page = context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))
        return page

    def show(self, page: Page, at: str = "", *, wait: bool = True) -> Page:
        """Load the page in a tab."""
        page.goto(f"{self._address}{at}")
        if wait:
            page.wait_for_selector(".card .reading")
        return page

    def close(self) -> None:
        """Close all that was opened."""
        for context in self._contexts:
            context.close()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning") or (self.may_lose and _AWAY.search(message.text)):
            return
        self.complaints.append(f"{message.type}: {message.text}")


def heap(page: Page) -> int:
    """Return the bytes of the page's JavaScript heap after its garbage was collected."""
    session: CDPSession = page.context.new_cdp_session(page)
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    used = int(session.send("Runtime.getHeapUsage")["usedSize"])
    session.detach()
    return used


class Accessibility:
    """What axe finds in pages; the test that makes one is skipped where axe is not installed."""

    def __init__(self) -> None:
        self._axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        self.violations: list[str] = []

    def look(self, page: Page, where: str) -> None:
        """Look at a page as it is now, with all its details open."""
        page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true")
        self.violations += [
            f"{where}: {one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in self._axe.run(page).response["violations"]
        ]
