"""Binance's public REST interface: answers as frames for the normaliser, weights kept."""

import msgspec

from libs.venues.binance import BINANCE
from libs.venues.binance.hosts import REST_URL
from libs.venues.binance.limits import DEPTH_WEIGHTS, WEIGHT_PER_MINUTE, WEIGHTS
from libs.venues.binance.schemas import wire
from libs.venues.errors import BadAnswer
from libs.venues.frame import rest_frame
from libs.venues.transport.http import VenueHttp
from libs.venues.transport.rate_limit import TokenBucket

KLINES_MAX = 1_000
"""Candles or trades of one answer, at most."""
DEPTH_LEVELS_MAX = 1_000
"""Levels of a snapshot: a fifth of what the venue gives for a fifth of its weight, and its frame is 60 kB."""
WEIGHT_USED_MAX = WEIGHT_PER_MINUTE * 4 // 5
"""Told by the venue that so much of the minute is used (by whomever), we stop for a while."""
WEIGHT_PAUSE_S = 10.0
_PREFIX = "/api/v3"


class BinanceRest:
    """Questions to Binance. ``used_weight`` is the venue's own count for our address in this minute."""

    def __init__(self, rest_url: str = REST_URL, http: VenueHttp | None = None) -> None:
        self._bucket = TokenBucket(WEIGHT_PER_MINUTE / 2 / 60, 500)
        self._http = http or VenueHttp(BINANCE, rest_url, {"default": self._bucket})
        self.used_weight = 0

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def server_time_ms(self) -> int:
        """The venue's clock."""
        body = await self._get("/time", {}, WEIGHTS["/time"])
        try:
            return msgspec.json.decode(body, type=wire.ServerTime).serverTime
        except msgspec.DecodeError as e:
            raise BadAnswer(BINANCE, f"expected the time: {e}") from e

    async def klines(
        self, symbol: str, interval: str, limit: int, start_ms: int = 0, end_ms: int = 0
    ) -> bytes:
        """The newest ``limit`` candles, or those of a span, as a frame; the last one is still forming."""
        query: dict[str, str | int] = {
            "symbol": symbol,
            "interval": interval,
            "limit": min(limit, KLINES_MAX),
        }
        if start_ms:
            query["startTime"] = start_ms
        if end_ms:
            query["endTime"] = end_ms
        body = await self._get("/klines", query, WEIGHTS["/klines"])
        return rest_frame("klines", body, symbol=symbol, interval=interval)

    async def trades(self, symbol: str, limit: int = 500) -> bytes:
        """The newest trades as a frame."""
        query: dict[str, str | int] = {"symbol": symbol, "limit": min(limit, KLINES_MAX)}
        return rest_frame("trades", await self._get("/trades", query, WEIGHTS["/trades"]), symbol=symbol)

    async def depth(self, symbol: str, limit: int = DEPTH_LEVELS_MAX) -> bytes:
        """A snapshot of the book as a frame: what ``wanted_snapshots`` of the normaliser asks for."""
        weight = next(cost for most, cost in DEPTH_WEIGHTS if limit <= most)
        body = await self._get("/depth", {"symbol": symbol, "limit": limit}, weight)
        return rest_frame("depth", body, symbol=symbol)

    async def _get(self, path: str, query: dict[str, str | int], weight: int) -> bytes:
        answer = await self._http.request("GET", _PREFIX + path, query=query, cost=weight, effect=False)
        used = answer.headers.get("x-mbx-used-weight-1m", "")
        if used.isascii() and used.isdecimal():
            self.used_weight = int(used[:9])
            if self.used_weight >= WEIGHT_USED_MAX:
                self._bucket.pause_for(WEIGHT_PAUSE_S)
        return answer.body
