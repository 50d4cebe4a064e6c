"""What the script of the pages finds in them: tables that are empty yet, counts, and who looks."""

import asyncio
import re
from pathlib import Path

import pytest

from services.console.accounts import Role
from tests.support.console_world import PASSWORD, browser, console_over, log_in, session
from tests.support.view_session import clock, opening


async def _page(folder: Path, *, with_orders: bool, user: str, path: str) -> str:
    console = console_over(folder, session() if with_orders else [*opening(), clock(1)])
    for name, role in (("operator", Role.OPERATOR), ("viewer", Role.VIEWER)):
        console.accounts.set_password(name, PASSWORD, role)
    async with browser(console) as client:
        await log_in(client, user)
        return (await client.get(path)).text


@pytest.mark.parametrize("user", ["operator", "viewer"])
@pytest.mark.parametrize("with_orders", [True, False])
def test_what_may_come_has_its_place_before_it_comes(tmp_path: Path, with_orders: bool, user: str):
    page = asyncio.run(_page(tmp_path, with_orders=with_orders, user=user, path="/"))
    section = re.search(r"<section[^>]*waiting-title[^>]*>", page)
    assert section is not None
    assert ("hidden" in section[0]) is not with_orders
    for count in ("waiting", "alerts"):
        badge = re.search(rf'<b[^>]*data-count="{count}"[^>]*>', page)
        assert badge is not None
        assert ("hidden" in badge[0]) is not with_orders
    assert f'data-role="{user}"' in page
    assert ("Approve" in page) is (with_orders and user == "operator")


def test_a_page_without_tables_has_what_the_state_is_shown_in(tmp_path: Path):
    page = asyncio.run(_page(tmp_path, with_orders=True, user="operator", path="/performance"))
    assert 'data-live=""' in page
    assert 'id="orders-state"' in page
    assert 'id="stale"' in page
