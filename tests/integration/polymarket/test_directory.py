"""What the directory of markets asks, and what it does not ask twice."""

from typing import Any

import pytest
from aiohttp import web

from libs.venues.polymarket.trading.client import PolymarketClient
from libs.venues.polymarket.trading.directory import Directory
from tests.support.venue_stand_in import CONDITION, TOKENS, StandIn

pytestmark = pytest.mark.asyncio

SHORT: dict[str, Any] = {
    "t": [{"t": TOKENS[0], "o": "Up"}, {"t": TOKENS[1], "o": "Down"}],
    "mts": 0.01,
    "mos": 5,
    "nr": False,
}


class Clob(StandIn):
    """Knows one market."""

    def answer(self, request: web.Request) -> web.StreamResponse:
        of_token = request.path.startswith("/markets-by-token/")
        return web.json_response({"condition_id": CONDITION} if of_token else SHORT)


async def test_a_forgotten_market_is_asked_for_anew_but_not_which_one_a_token_belongs_to() -> None:
    """It is forgotten when its tick changed: that must be fresh. The market of a token never changes."""
    async with Clob() as venue:
        client = PolymarketClient(venue.rest_url)
        directory = Directory(client)
        for _ in range(3):
            market, token = await directory.of_token(TOKENS[1])
            assert (market.condition, token.instrument) == (CONDITION, f"polymarket:{CONDITION}:down")
            directory.forget(CONDITION)
        await client.close()
    kinds = [path.split("/")[1] for path in venue.asked]
    assert kinds == ["markets-by-token", "clob-markets", "clob-markets", "clob-markets"]
