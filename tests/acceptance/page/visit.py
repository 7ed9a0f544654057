"""Pages of people who are signed in, each in a browser of their own; what goes wrong in them fails the test."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.farm_process import FarmProcess
from tests.patience import patient, wait_for

KEYS = {name: f"farm-key-of-{name}" for name in ("ann", "ben", "crowd")}
#: Chromium logs every refused call; the farm's refusals are what some of these tests are about.
REFUSED = re.compile(r"Failed to load resource|net::ERR_")


class Visit:
    """Open pages of the farm, and keep what their consoles report: errors, CSP reports, requests to other hosts."""

    def __init__(self, farm: FarmProcess, browser: Browser) -> None:
        self.faults = list[str]()
        self._port = farm.http.base_url.port
        self._browser = browser
        self._contexts = list[BrowserContext]()

    def origin(self, *, secure: bool = False) -> str:
        """Return the farm's address: by a name that is no secure origin, as at home, or as this machine sees it."""
        return f"http://{'127.0.0.1' if secure else 'farm.test'}:{self._port}"

    def page(self, path: str = "", *, owner: str | None = "ann", secure: bool = False, **options: Any) -> Page:
        """Open a path of the page in a new browser. owner: whose key the address carries; None: nobody signs in.

        options: those of Playwright's new_context, such as viewport or color_scheme.
        """
        options.setdefault("viewport", {"width": 1440, "height": 900})
        context = self._browser.new_context(accept_downloads=True, **options)
        context.set_default_timeout(patient(20) * 1000)
        self._contexts.append(context)
        return self.tab(context, f"{self.origin(secure=secure)}/ui/{path}{f'#key={KEYS[owner]}' if owner else ''}")

    def phone(self, path: str = "") -> Page:
        """Open a path of the page on a phone, which has a touch screen 390 px wide."""
        return self.page(path, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)

    def tab(self, context: BrowserContext, address: str) -> Page:
        """Open an address in one more tab of a browser."""
        page = context.new_page()
        page.on("console", self._look_at)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self._follow)
        page.goto(address)
        return page

    def close(self) -> None:
        """Close every browser."""
        for context in self._contexts:
            context.close()

    def _look_at(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not REFUSED.search(message.text):
            self.faults.append(message.text)

    def _follow(self, request: Request) -> None:
        ours = (self.origin(), self.origin(secure=True), "blob:", "data:")
        if not request.url.startswith(ours):
            self.faults.append(f"a request to another host: {request.url}")


def until(page: Page, expression: str, arg: object = None, *, seconds: float = 20) -> None:
    """Wait until a JavaScript expression is true in a page.

    Playwright's own wait evaluates a text in the page at each look, which the page's Content-Security-Policy forbids.
    """
    wait_for(lambda: page.evaluate(expression, arg) or None, seconds=seconds, what=expression)
