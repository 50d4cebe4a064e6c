"""What the live sources ask their venues by REST, now and then, and what they do with a part of the answers."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from libs.venues.kalshi.auth import KalshiCredentials, Signer
from libs.venues.kalshi.normalise import KalshiNormaliser
from libs.venues.kalshi.params import KalshiParams
from proto.feed import Market, MarketStatus
from proto.units import SECOND
from services.feed.live.kalshi import KalshiSource
from tests.unit.test_kalshi_auth import KEY, pem
from tests.venue_stand_in import StandIn

pytestmark = pytest.mark.asyncio

AT = 1_778_709_000 * SECOND


class Questions(StandIn):
    """Answers questions as ``rows`` (path → body) say; a path that is not there is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, Any] = {}
        self.told: list[Any] = []

    def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path not in self.rows:
            return web.json_response({"error": f"no {request.path}"}, status=422)
        return web.json_response(self.rows[request.path])

    async def emit(self, source: str, data: bytes, at_ns: int = 0) -> None:
        """Take what a source makes of the answers."""
        self.told.append(msgspec.json.decode(data))

    def asked_with(self, text: str) -> list[str]:
        """The questions since the last call that hold ``text``."""
        found = [path for path in self.asked if text in path]
        self.asked.clear()
        return found


@pytest_asyncio.fixture
async def venue() -> AsyncIterator[Questions]:
    async with Questions() as made:
        yield made


@pytest_asyncio.fixture
async def kalshi(venue: Questions) -> AsyncIterator[KalshiSource]:
    venue.rows = {
        "/series/KXBTC15M": {"series": {"ticker": "KXBTC15M"}},
        "/markets": {"markets": [], "cursor": ""},
    }
    params = KalshiParams(rest_url=venue.rest_url, series=("KXBTC15M",))
    signer = Signer(KalshiCredentials("key-1", pem(KEY)))
    made = KalshiSource(params, venue.emit, signer, KalshiNormaliser)
    yield made
    await made.close()


def market(name: str, status: MarketStatus) -> Market:
    return Market(market=name, venue=name.partition(":")[0], at=AT, status=status)


async def test_kalshi_is_asked_for_a_result_until_the_market_is_settled(
    venue: Questions, kalshi: KalshiSource
) -> None:
    for status, asked in (
        (MarketStatus.OPEN, 0),
        (MarketStatus.CLOSED, 1),
        (MarketStatus.DETERMINED, 1),
        (MarketStatus.DISPUTED, 1),
        (MarketStatus.SETTLED, 0),
    ):
        kalshi.see([market("kalshi:KXBTC15M-1", status)], AT)
        await kalshi.look()
        assert len(venue.asked_with("tickers=KXBTC15M-1")) == asked, status
