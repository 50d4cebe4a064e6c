"""A real Chromium, if this machine has one: Debian's, driven by Playwright; it talks to nobody but the page."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000.0
"""What is waited for at most; on a busy machine a page takes seconds."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser; the test is skipped, and says why, where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: expected one of {', '.join(NAMES)} (Debian: apt install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=PATIENCE_MS)
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page, and everything about it that must not happen."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.problems: list[str] = []
        self.expects_losses = False
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("request", lambda request: self._check(request.url, base))

    def _note(self, kind: str, text: str) -> None:
        # While the console is restarted the browser says so in its own words.
        if kind == "error" and not self.expects_losses:
            self.problems.append(f"console: {text}")

    def _check(self, url: str, base: str) -> None:
        own = base.partition("://")[2]
        if not url.startswith((base, f"ws://{own}", "data:")):
            self.problems.append(f"request to {url}")


async def context_of(browser: Browser, *, phone: bool) -> BrowserContext:
    """A desktop window in light colours, or a phone in dark ones."""
    if phone:
        return await browser.new_context(
            viewport={"width": 390, "height": 844}, color_scheme="dark", is_mobile=True, has_touch=True
        )
    return await browser.new_context(viewport={"width": 1_280, "height": 860}, color_scheme="light")
