"""Coinbase's public REST interface: answers as frames for the normaliser."""

import msgspec

from libs.bounded import clip
from libs.venues.coinbase import COINBASE
from libs.venues.coinbase.hosts import REST_URL
from libs.venues.coinbase.limits import CANDLES_MAX, REQUESTS_BURST, REQUESTS_PER_S
from libs.venues.coinbase.schemas import wire
from libs.venues.errors import BadAnswer
from libs.venues.frame import DECODE_ERRORS, FrameError, rest_frame
from libs.venues.transport.http import VenueHttp
from libs.venues.transport.rate_limit import TokenBucket
from proto.units import MILLISECOND

TRADES_MAX = 1_000
"""Trades of one answer, at most."""
PAGES_MAX = 10
"""Pages of past trades. A busy second has fifty trades; most quarters of an hour have fewer than 10,000."""
_past_rows = msgspec.json.Decoder(list[wire.PastTrade]).decode


def _is_before(text: str, moment_ms: int) -> bool:
    """Whether a time is before a moment; an unreadable one counts as before, so that nobody pages on for ever."""
    try:
        return wire.time_ns(text) < moment_ms * MILLISECOND
    except FrameError:
        return True


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

    async def past_trades(self, product: str, since_ms: int) -> list[bytes]:
        """The trades since a moment as frames, a page each, the oldest first; at most ``PAGES_MAX`` pages.

        Raises:
            BadAnswer: for rows without a time.
        """
        frames: list[bytes] = []
        query: dict[str, str | int] = {"limit": TRADES_MAX}
        for _ in range(PAGES_MAX):
            answer = await self._http.request("GET", f"/products/{product}/trades", query=query, effect=False)
            try:
                rows = _past_rows(answer.body)
            except DECODE_ERRORS as e:
                raise BadAnswer(COINBASE, clip(f"expected trades: {e}", 300)) from e
            if not rows:
                break
            frames.append(rest_frame("past_trades", answer.body, product=product))
            after = answer.headers.get("cb-after", "")
            if not after.isdecimal() or _is_before(rows[-1].time, since_ms):
                break
            query["after"] = after
        if not frames:
            raise BadAnswer(COINBASE, "expected past trades, was none")
        frames.reverse()
        return frames

    async def ticker(self, product: str) -> bytes:
        """Best prices as a frame."""
        return rest_frame("ticker", await self._get(f"/products/{product}/ticker", {}), product=product)

    async def _get(self, path: str, query: dict[str, str | int]) -> bytes:
        return (await self._http.request("GET", path, query=query, effect=False)).body
