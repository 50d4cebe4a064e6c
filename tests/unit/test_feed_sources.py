"""What the live sources make of single frames and messages, without a venue."""

from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from libs.venues.kalshi.auth import KalshiCredentials, Signer
from libs.venues.kalshi.normalise import KalshiNormaliser
from libs.venues.kalshi.params import KalshiParams
from proto.units import SECOND
from services.feed.live.kalshi import KalshiSource
from tests.unit.test_kalshi_auth import KEY, pem
from tests.unit.test_kalshi_following import TICKER, delta, snapshot

pytestmark = pytest.mark.asyncio

AT = 1_778_709_000 * SECOND


async def forget(source: str, data: bytes, at_ns: int = 0) -> None:
    """Nobody reads what these sources ask."""


class Kalshi:
    """A source beside the normaliser that reads its frames."""

    def __init__(self) -> None:
        self.normaliser = KalshiNormaliser(["KXBTC15M"])
        signer = Signer(KalshiCredentials("key-1", pem(KEY)))
        self.source = KalshiSource(KalshiParams(), forget, signer, lambda: self.normaliser)

    def proved(self, data: bytes) -> list[str]:
        """What a frame proves once it has been read."""
        self.normaliser.normalise(data, AT)
        return list(self.source.about(data))


@pytest_asyncio.fixture
async def kalshi() -> AsyncIterator[Kalshi]:
    made = Kalshi()
    yield made
    await made.source.close()


async def test_kalshi_books_are_proved_by_numbered_frames_in_their_order_only(kalshi: Kalshi) -> None:
    about = {"market_ticker": TICKER}
    ticker = about | {"yes_bid_dollars": "0.4300", "yes_ask_dollars": "0.4600"}
    trade = about | {
        "trade_id": "t1", "yes_price_dollars": "0.4300", "no_price_dollars": "0.5700", "count_fp": "1.00",
    }  # fmt: skip
    assert kalshi.proved(snapshot(TICKER, 1)) == [f"kalshi:{TICKER}"]
    for kind, msg in (("ticker", ticker), ("trade", trade)):
        assert kalshi.proved(msgspec.json.encode({"type": kind, "sid": 3, "msg": msg})) == []
    assert kalshi.proved(delta(TICKER, 2, "yes", "0.4300", "1.00")) == [f"kalshi:{TICKER}"]
    assert kalshi.proved(delta(TICKER, 2, "yes", "0.4300", "1.00")) == [], "an old number proves nothing"
    assert kalshi.proved(delta(TICKER, 9, "yes", "0.4300", "1.00")) == [], "frames were lost"
