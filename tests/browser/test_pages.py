"""The console in a real browser at two sizes: every page, what comes by itself, and what is pressed.

Outside of `make test`: `make test-browser`. Without a browser it is skipped, and says so.
"""

import os
import signal
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from proto.evaluation import ChangeStep, SignalChange
from proto.execution import Claim
from proto.operator import Verb
from services.console.render import PAGES
from tests.integration.test_changes import EDIT, PATH, propose
from tests.support.chromium import Watched, chromium, context_of
from tests.support.console_system import Console, consoled
from tests.support.harness import PATIENCE_S, kill
from tests.support.paths import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]

ACCESSIBLE = (ROOT / "tests/support/accessible.js").read_text().partition("\n")[2]
SHOTS = os.environ.get("PRESAGE_SCREENSHOTS", "")
"""Folder for a picture of each page at each size; none without it."""
ATTEMPTS = 20
"""The book moves between a proposal and its approval: risk may refuse one, not all."""


@pytest.mark.asyncio
async def test_the_console_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with chromium() as browser, consoled(tmp_path / "state", monkeypatch) as console:
        await shows_every_page(console, browser)
        await follows_on_an_open_page(console, browser)
        await decides_in_a_browser(console, browser)
        await accepts_a_change(console, browser)
        await halts_and_resumes(console, browser)
        await comes_back_after_a_restart(console, browser)


async def opened(console: Console, browser: Browser, *, phone: bool) -> Watched:
    """A page of somebody who has logged in."""
    context = await context_of(browser, phone=phone)
    watched = Watched(await context.new_page(), console.base)
    page = watched.page
    await page.goto(console.base)
    assert page.url.startswith(f"{console.base}/login")
    await picture(page, "login", phone=phone)
    await page.fill("input[name=password]", console.password)
    await page.click("button")
    await page.wait_for_selector("nav")
    return watched


async def shows_every_page(console: Console, browser: Browser) -> None:
    """Each page, at both sizes: nothing fails, nothing comes from elsewhere, everybody can read and reach it."""
    for phone in (False, True):
        watched = await opened(console, browser, phone=phone)
        page = watched.page
        for name, path, _ in PAGES:
            answer = await page.goto(console.base + path)
            assert answer is not None
            assert answer.status == 200, path
            await page.wait_for_selector("body[data-connected]")
            assert await page.evaluate(f"({ACCESSIBLE})()") == [], (name, phone)
            await picture(page, name, phone=phone)
        assert watched.problems == []
        await page.context.close()


async def follows_on_an_open_page(console: Console, browser: Browser) -> None:
    """What begins to wait appears on an overview that is open, and its count in the menu, on a page without tables too."""
    watched = await opened(console, browser, phone=False)
    page = watched.page
    for path, shown in (("/", "section[data-hide-empty]:not([hidden])"), ("/performance", "nav")):
        await page.goto(console.base + path)
        await page.wait_for_selector("body[data-connected]")
        # As if nothing had waited when the page was drawn: in this session something nearly always does.
        await page.evaluate(
            "for (const e of document.querySelectorAll('[data-hide-empty], [data-count=waiting]')) e.hidden = true"
        )
        await page.wait_for_selector(shown)
        await page.wait_for_selector("[data-count=waiting]:not([hidden])")
    assert watched.problems == []
    await page.context.close()


async def decides_in_a_browser(console: Console, browser: Browser) -> None:
    """An order that waits appears by itself; approved with one press, it leaves, and its chain opens."""
    watched = await opened(console, browser, phone=False)
    page = watched.page
    for _ in range(ATTEMPTS):
        await page.goto(f"{console.base}/orders")
        await page.wait_for_selector("table[data-table=waiting] td.decide button.good")
        await page.wait_for_selector("table[data-table=waiting] [data-until]")
        await page.click(f"{await newest_waiting(page)} button.good")
        outcome = await page.wait_for_selector("#outcome")
        assert outcome is not None
        if "approved as" in await outcome.inner_text():
            break
    else:
        raise AssertionError("expected risk to allow one order, refused all")
    assert console.commands(Verb.APPROVE) >= 1
    await console.tape.wait(lambda tape: bool(tape.of(Claim)))
    chain = await page.get_attribute("table[data-table=orders] tbody td.id a", "href")
    await page.goto(f"{console.base}{chain}")
    await shows_a_chain(console, browser, page, f"{console.base}{chain}")
    await page.goto(f"{console.base}/orders")
    await page.wait_for_selector("table[data-table=waiting] td.decide button.good")
    await page.click(f"{await newest_waiting(page)} button:not(.good)")
    await page.wait_for_selector("#outcome")
    assert console.commands(Verb.DENY) >= 1
    assert watched.problems == []
    await page.context.close()


async def shows_a_chain(console: Console, browser: Browser, page: Page, address: str) -> None:
    """A chain of causes at both sizes, and the box of a what-if in it, with the value that the setting has now."""
    await page.wait_for_selector(".chain li.asked-for")
    await picture(page, "why", phone=False)
    assert await page.evaluate(f"({ACCESSIBLE})()") == []
    await page.goto(f"{address}?path=risk.spread_max#what-if")
    assert await page.input_value("#what-if input[name=path]") == "risk.spread_max"
    assert "now 0." in await page.inner_text("#what-if form")
    watched = await opened(console, browser, phone=True)
    await watched.page.goto(address)
    await watched.page.wait_for_selector("body[data-connected]")
    assert await watched.page.evaluate(f"({ACCESSIBLE})()") == []
    await picture(watched.page, "why", phone=True)
    assert watched.problems == []
    await watched.page.context.close()


async def newest_waiting(page: Page) -> str:
    """The row of the order that began to wait last: of an older one the book has moved on. It stays where it is."""
    order = await page.get_attribute("table[data-table=waiting] tbody tr:last-child", "data-key")
    return f"table[data-table=waiting] tr[data-key='{order}']"


async def accepts_a_change(console: Console, browser: Browser) -> None:
    """A proposed change is shown as a diff; accepted, it is applied by the machine; another is rejected."""
    await propose(console.system, ("c-1", EDIT), ("c-2", EDIT))
    watched = await opened(console, browser, phone=False)
    page = watched.page
    await page.goto(f"{console.base}/eval")
    assert f"{PATH}: 1" in await page.inner_text("article:last-of-type del")
    assert f"{PATH}: 3" in await page.inner_text("article:last-of-type ins")
    assert await page.evaluate(f"({ACCESSIBLE})()") == []
    await picture(page, "proposal", phone=False)
    await page.click("article:last-of-type button.good")
    outcome = await page.wait_for_selector("#outcome")
    assert outcome is not None
    assert "in force" in await outcome.inner_text()
    await page.click("article:first-of-type button:not(.good)")
    await page.wait_for_selector("#outcome")
    await console.tape.wait(lambda tape: any(m.step is ChangeStep.APPLIED for m in tape.of(SignalChange)))
    assert (console.commands(Verb.ACCEPT), console.commands(Verb.REJECT)) == (1, 1)
    assert watched.problems == []
    await page.context.close()


async def halts_and_resumes(console: Console, browser: Browser) -> None:
    """Two presses halt, without a script too; the page says what the tape does. A resume takes the password."""
    context = await browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_S * 1_000)
    await page.goto(console.base)
    await page.fill("input[name=password]", console.password)
    await page.click("button")
    await page.click("details.halt summary")
    await page.click("details.halt button")
    outcome = await page.wait_for_selector("#outcome")
    assert outcome is not None
    assert "halted" in await outcome.inner_text()
    assert console.commands(Verb.HALT) == 1
    assert console.system.installation.layout.halt_file.exists()
    await picture(page, "halted", phone=True)
    await page.click(".banner.halted summary")
    await page.fill(".banner.halted input[type=password]", "not the password")
    await page.click(".banner.halted button")
    assert "expected your password" in await page.inner_text("main")
    assert console.commands(Verb.RESUME) == 0
    await page.goto(console.base)
    await page.click(".banner.halted summary")
    await page.fill(".banner.halted input[type=password]", console.password)
    await page.click(".banner.halted button")
    await page.wait_for_selector("#outcome")
    assert console.commands(Verb.RESUME) == 1
    assert not console.system.installation.layout.halt_file.exists()
    await context.close()


async def comes_back_after_a_restart(console: Console, browser: Browser) -> None:
    """The console dies: the page says that its data is old, and goes on by itself once it is back."""
    watched = await opened(console, browser, phone=False)
    page = watched.page
    await page.goto(f"{console.base}/decisions")
    await page.wait_for_selector("body[data-connected]")
    watched.expects_losses = True
    pid = kill(console.system, "console", signal.SIGSTOP)
    await page.wait_for_selector("#stale:not([hidden])")
    await page.wait_for_selector("body.is-stale")
    os.kill(pid, signal.SIGKILL)
    await page.wait_for_selector("body[data-connected]:not(.is-stale)")
    await page.wait_for_selector("#stale[hidden]", state="attached")
    await page.wait_for_selector("table[data-table=decisions] tbody tr")
    await page.reload()
    assert "/login" not in page.url
    await page.context.close()


async def picture(page: Page, name: str, *, phone: bool) -> None:
    if SHOTS:
        await page.screenshot(path=Path(SHOTS) / f"console-{name}-{'phone' if phone else 'desktop'}.png")
