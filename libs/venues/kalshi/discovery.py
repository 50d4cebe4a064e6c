"""Which markets there are: series → open markets, following windows as they roll over.

The socket tells of new markets at once; what it missed while it was down is found here. Answers become
frames, byte for byte, so that a recording of the frames holds everything.
"""

from collections.abc import Sequence

import msgspec

from libs.venues.errors import BadAnswer
from libs.venues.frame import DECODE_ERRORS
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.legs import VENUE
from libs.venues.kalshi.listings import rest_frame
from libs.venues.kalshi.rest import Markets
from proto.units import SECOND

MARKETS_PAGE = 200
"""Rows of one page: as a frame it stays far below ``FRAME_BYTES_MAX``."""
PAGES_MAX = 5
"""Pages of one series and status; a series of rolling windows has a handful of markets."""
SERIES_EVERY_NS = 3_600 * SECOND
"""Fees of a series change rarely, and the venue announces it days before."""
ENDED_MAX = 100
"""Markets asked for at once until they are settled."""
OVER = frozenset({"finalized", "settled"})


class KalshiDiscovery:
    """Polls the markets of some series. ``poll`` returns frames for ``KalshiNormaliser``.

    A market that has been open is asked for by name until it is settled: the list of open ones does not
    have it any more, and the event that settles it may be missed.
    """

    def __init__(self, client: KalshiClient, series: Sequence[str], pages_max: int = PAGES_MAX) -> None:
        self._client = client
        self._series = tuple(series)
        self._pages_max = pages_max
        self._series_at: dict[str, int] = {}
        # Markets not settled yet, oldest first.
        self._unsettled: dict[str, None] = {}

    @property
    def unsettled(self) -> tuple[str, ...]:
        """Markets seen that are not settled yet."""
        return tuple(self._unsettled)

    async def poll(self, at: int) -> list[bytes]:
        """Ask once, at ``at`` (ns). Raises the kinds of ``VenueError``; what was asked before is kept then."""
        frames = []
        for series in self._series:
            asked_at = self._series_at.get(series)
            if asked_at is None or at - asked_at >= SERIES_EVERY_NS:
                frames.append(rest_frame("series", await self._client.raw(f"/series/{series}")))
                self._series_at[series] = at
        seen: set[str] = set()
        for series in self._series:
            for status in ("open", "unopened"):
                frames += await self._pages({"series_ticker": series, "status": status}, seen)
        missing = [ticker for ticker in self._unsettled if ticker not in seen][:ENDED_MAX]
        if missing:
            frames += await self._pages({"tickers": ",".join(missing)}, seen)
        return frames

    async def _pages(self, query: dict[str, str | int], seen: set[str]) -> list[bytes]:
        frames: list[bytes] = []
        cursor = ""
        for _ in range(self._pages_max):
            asked = {**query, "limit": MARKETS_PAGE, **({"cursor": cursor} if cursor else {})}
            body = await self._client.raw("/markets", asked)
            try:
                page = msgspec.json.decode(body, type=Markets)
            except DECODE_ERRORS as e:
                raise BadAnswer(VENUE, f"GET /markets: {str(e)[:200]}") from e
            frames.append(rest_frame("markets", body))
            for market in page.markets:
                seen.add(market.ticker)
                if market.status in OVER:
                    self._unsettled.pop(market.ticker, None)
                else:
                    self._unsettled[market.ticker] = None
            cursor = page.cursor
            if not cursor:
                break
        while len(self._unsettled) > 10 * ENDED_MAX:
            del self._unsettled[next(iter(self._unsettled))]
        return frames
