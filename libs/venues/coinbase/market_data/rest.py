"""Coinbase's public REST interface: answers as frames for the normaliser."""

import msgspec

from libs.venues.coinbase import COINBASE
from libs.venues.coinbase.hosts import REST_URL
from libs.venues.coinbase.limits import CANDLES_MAX, REQUESTS_BURST, REQUESTS_PER_S
from libs.venues.coinbase.schemas import wire
from libs.venues.errors import BadAnswer
from libs.venues.frame import rest_frame
from libs.venues.transport.http import VenueHttp
from libs.venues.transport.rate_limit import TokenBucket

TRADES_MAX = 1_000
"""Trades of one answer, at most."""


class CoinbaseRest:
    """Questions to Coinbase."""

    def __init__(self, rest_url: str = REST_URL, http: VenueHttp | None = None) -> None:
        bucket = TokenBucket(REQUESTS_PER_S, REQUESTS_BURST)
        self._http = http or VenueHttp(COINBASE, rest_url, {"default": bucket})

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def server_time_ms(self) -> int:
        """The venue's clock."""
        body = await self._get("/time", {})
        try:
            return round(msgspec.json.decode(body, type=wire.ServerTime).epoch * 1_000)
        except (msgspec.DecodeError, OverflowError) as e:
            raise BadAnswer(COINBASE, f"expected the time: {e}") from e

    async def candles(
        self, product: str, granularity_s: int, count: int = CANDLES_MAX, now_ms: int = 0
    ) -> bytes:
        """The newest candles as a frame, at most 300; with ``now_ms`` just the last ``count``."""
        query: dict[str, str | int] = {"granularity": granularity_s}
        if now_ms:
            now_s = now_ms // 1_000
            query |= {"start": now_s - min(count, CANDLES_MAX) * granularity_s, "end": now_s}
        body = await self._get(f"/products/{product}/candles", query)
        return rest_frame("candles", body, product=product, granularity=str(granularity_s))

    async def trades(self, product: str, limit: int = 100) -> bytes:
        """The newest trades as a frame."""
        body = await self._get(f"/products/{product}/trades", {"limit": min(limit, TRADES_MAX)})
        return rest_frame("trades", body, product=product)

    async def ticker(self, product: str) -> bytes:
        """Best prices as a frame."""
        return rest_frame("ticker", await self._get(f"/products/{product}/ticker", {}), product=product)

    async def _get(self, path: str, query: dict[str, str | int]) -> bytes:
        return (await self._http.request("GET", path, query=query, effect=False)).body
