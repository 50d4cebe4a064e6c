"""Polymarket live: markets from Gamma, books from one socket, strikes from the price stream.

The normaliser itself asks for new and broken books; the source tells it of markets and asks for quiet ones.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from libs.venues.frame import DECODE_ERRORS, FrameError, rest_frame
from libs.venues.polymarket import gamma
from libs.venues.polymarket.market import VENUE, Listing
from libs.venues.polymarket.normalise import PolymarketNormaliser
from libs.venues.polymarket.params import PolymarketParams
from libs.venues.polymarket.prices import TOPICS
from libs.venues.transport.http import VenueHttp
from libs.venues.transport.rate_limit import TokenBucket
from libs.venues.transport.websocket import VenueSocket
from proto.feed import Market, MarketStatus
from proto.message import Message
from proto.units import SECOND, UnitError, parse
from services.feed.live.moment import now_ns
from services.feed.live.source import Emit, LiveSource
from services.feed.live.unsettled import ENDED, Unresolved

PAGE_ROWS = 50
"""Markets a page. One is about 8 kB, so that a page stays below the longest frame."""
GAMMA_PER_S, GAMMA_BURST = 15.0, 30.0
"""A tenth of what Gamma allows for /markets (300 in 10 s): others behind the same address count too."""
KEEPALIVE = ("PING", 10.0)
PRICES_KEEPALIVE = ("PING", 5.0)
PRICES_SILENCE_S = 60.0
"""Chainlink's prices come every second."""
OUTGOING_PER_S, OUTGOING_BURST = 10.0, 30.0
"""Commands on the socket. No limit is published; a follower of some dozen markets needs far less."""
WINDOW_S = {"5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400}
"""Lengths of the up-or-down series, by the end of their name."""
WINDOWS_AHEAD = 1
"""Windows followed beyond the running one: the next is there before it opens."""
UNRESOLVED_MAX = 50
"""Ended markets asked about at a time, each by itself: four seconds of the budget."""
BOOK_EVENTS = ("book", "price_change")
"""Events that prove that a market's books are kept up."""

_BOOKS = re.compile(rb'"event_type":\s*"(?:book|price_change)"')
_REST = b'{"_rest"'


class _Page(msgspec.Struct, gc=False):
    markets: list[msgspec.Raw] = []
    next_cursor: str | None = None


class _Row(msgspec.Struct, gc=False):
    """What the filters look at; numbers come as text, as numbers, or not at all."""

    volume: str | float | None = None
    category: str | None = None
    negRisk: bool | None = None  # noqa: N815 - the venue's name


class _Event(msgspec.Struct, gc=False):
    """What an event of the market channel is about."""

    event_type: str = ""
    market: str = ""


_event = msgspec.json.Decoder(_Event)
_events = msgspec.json.Decoder(list[_Event])
_page = msgspec.json.Decoder(_Page)
_rows = msgspec.json.Decoder(list[msgspec.Raw])
_row = msgspec.json.Decoder(_Row)


class _Followed(msgspec.Struct):
    tokens: tuple[str, ...]
    close_at: int


class PolymarketSource(LiveSource):
    """Follows windows and the markets of tags. ``normaliser`` is the one that reads this venue's frames."""

    venue = VENUE

    def __init__(
        self, params: PolymarketParams, emit: Emit, normaliser: Callable[[], PolymarketNormaliser]
    ) -> None:
        super().__init__(params, emit)
        self._params = params
        self._normaliser = normaliser
        buckets = {"default": TokenBucket(GAMMA_PER_S, GAMMA_BURST)}
        self._gamma = VenueHttp(VENUE, params.gamma_url, buckets)
        self._followed: dict[str, _Followed] = {}
        self._unresolved = Unresolved()

    def open_socket(self) -> VenueSocket:
        params = self._params
        return VenueSocket(
            VENUE,
            params.market_websocket_url,
            subscribe=lambda: [self._normaliser().subscription()],
            keepalive=KEEPALIVE,
            silence_s=params.silence_s,
            max_age_s=params.connection_max_s,
            outgoing=TokenBucket(OUTGOING_PER_S, OUTGOING_BURST),
        )

    def side_sockets(self) -> Sequence[VenueSocket]:
        if not self._params.prices_websocket_url:
            return ()
        topics = [{"topic": topic, "type": "update"} for topic in TOPICS]
        subscribe = msgspec.json.encode({"action": "subscribe", "subscriptions": topics})
        return [
            VenueSocket(
                VENUE,
                self._params.prices_websocket_url,
                subscribe=lambda: [subscribe],
                keepalive=PRICES_KEEPALIVE,
                silence_s=PRICES_SILENCE_S,
                max_age_s=self._params.connection_max_s,
            )
        ]

    def ready(self) -> bool:
        return bool(self._normaliser().tokens())

    # --- which markets --------------------------------------------------------------------------

    def remember(self, markets: Iterable[str]) -> None:
        for market in markets:
            self._unresolved.add(market.partition(":")[2])

    def look_every_s(self) -> float:
        return self._params.discovery_every_s

    async def look(self) -> None:
        """Ask Gamma for the windows, the markets of the tags, and what became of those that have ended."""
        found: dict[str, msgspec.Raw] = {}
        for slug in self._slugs(now_ns() // SECOND):
            for row in await self._ask({"slug": slug}):
                self._keep(row, found)
        for tag in ("",) if self._params.any_tag else self._params.tags:
            for row in await self._tagged(tag):
                if self._passes(row):
                    self._keep(row, found)
        for condition in [*self._unresolved.turn(UNRESOLVED_MAX), *self._ended(now_ns())]:
            for row in await self._ask_ended(condition):
                found[condition] = row
        rows = list(found.values())
        for start in range(0, len(rows), PAGE_ROWS):
            body = msgspec.json.encode(rows[start : start + PAGE_ROWS])
            await self.emit(rest_frame("gamma_markets", body))

    def _ended(self, now: int) -> list[str]:
        """Conditions of followed markets that should have ended: those of no window go on until Gamma closes them."""
        ended = (market for market, facts in self._followed.items() if 0 < facts.close_at <= now)
        return [market.partition(":")[2] for market in ended]

    def _slugs(self, now_s: int) -> list[str]:
        """Slugs of the running windows and the next ones: they carry the second of their start."""
        slugs = []
        for series in self._params.windows:
            length_s = WINDOW_S.get(series.rpartition("-")[2], 0)
            if length_s:
                start_s = now_s - now_s % length_s
                slugs += [f"{series}-{start_s + n * length_s}" for n in range(WINDOWS_AHEAD + 1)]
        return slugs

    async def _ask(self, query: dict[str, str | int]) -> list[msgspec.Raw]:
        answer = await self._gamma.request("GET", "/markets", effect=False, query=query)
        return _rows_of(answer.body)

    async def _ask_ended(self, condition: str) -> list[msgspec.Raw]:
        """A market that trades no more: proposed and disputed while Gamma calls it open, then closed."""
        query: dict[str, str | int] = {"condition_ids": condition}
        # Lists without ``closed`` leave the closed ones out.
        return await self._ask(query) or await self._ask(query | {"closed": "true"})

    async def _tagged(self, tag: str) -> list[msgspec.Raw]:
        """Open markets of a tag (of any, without) that end soon, those that end first in front."""
        now_s = now_ns() // SECOND
        query: dict[str, str | int] = {
            "closed": "false",
            "end_date_min": _utc(now_s),
            "end_date_max": _utc(now_s + self._params.hours_ahead * 3600),
            "order": "endDate",
            "ascending": "true",
            "limit": PAGE_ROWS,
        }
        if tag:
            query["tag_id"] = tag
        rows: list[msgspec.Raw] = []
        for _ in range(self._params.discovery_pages_max):
            answer = await self._gamma.request("GET", "/markets/keyset", effect=False, query=query)
            rows += _rows_of(answer.body)
            cursor = _cursor_of(answer.body)
            if not cursor:
                break
            query["after_cursor"] = cursor
        return rows

    def _passes(self, raw: msgspec.Raw) -> bool:
        """Whether a market found by tag is one that is wanted."""
        try:
            row = _row.decode(raw)
            volume = parse(f"{float(row.volume or 0):.6f}")
        except (*DECODE_ERRORS, ValueError, UnitError):
            return False
        params = self._params
        neg_risk = {"any": True, "only": bool(row.negRisk), "none": not row.negRisk}[params.neg_risk]
        category = not params.categories or (row.category or "") in params.categories
        return neg_risk and category and volume >= params.volume_min

    def _keep(self, raw: msgspec.Raw, found: dict[str, msgspec.Raw]) -> None:
        """Follow a market, as far as there is room; one that cannot be read is left to nobody."""
        try:
            listing = Listing(gamma.read_market(raw))
        except FrameError:
            return
        market = f"{VENUE}:{listing.condition}"
        if not listing.tradable:
            return
        if market not in self._followed and listing.condition not in self._unresolved:
            if len(self._followed) >= self._params.markets_max:
                return
            self._followed[market] = _Followed(listing.tokens, listing.close_at)
        found[listing.condition] = raw

    # --- leases ---------------------------------------------------------------------------------

    def about(self, data: bytes) -> Iterable[str]:
        # A book is proved by itself and by its changes: trades and best prices go on beside a deaf one.
        if data.startswith(_REST) or not _BOOKS.search(data):
            return ()
        try:
            events = _events.decode(data) if data[:1] == b"[" else [_event.decode(data)]
        except DECODE_ERRORS:
            return ()
        return {f"{VENUE}:{event.market}" for event in events if event.event_type in BOOK_EVENTS}

    def see(self, messages: Sequence[Message], at: int) -> None:
        markets = [message for message in messages if isinstance(message, Market)]
        for market in markets:
            condition = market.market.partition(":")[2]
            if market.status is MarketStatus.SETTLED:
                self._followed.pop(market.market, None)
                self._unresolved.discard(condition)
            elif market.status in ENDED:
                self._followed.pop(market.market, None)
                self._unresolved.add(condition)
        if markets:
            self.leases.follow(self._followed, at)
        super().see(messages, at)

    async def probe(self, markets: Sequence[str]) -> None:
        """Leave and join: the venue answers with whole books, and silence if it is deaf."""
        tokens = [
            token for market in markets if market in self._followed for token in self._followed[market].tokens
        ]
        for operation in ("unsubscribe", "subscribe"):
            frame = {"operation": operation, "assets_ids": tokens, "custom_feature_enabled": True}
            await self.send(msgspec.json.encode(frame))

    async def resubscribe(self, markets: Sequence[str]) -> None:
        await self.probe(markets)

    async def close(self) -> None:
        await self._gamma.close()


def _rows_of(body: bytes) -> list[msgspec.Raw]:
    """The markets of an answer: a plain array, or a page with a cursor. Anything else has none."""
    try:
        return _rows.decode(body) if body.lstrip()[:1] == b"[" else _page.decode(body).markets
    except DECODE_ERRORS:
        return []


def _cursor_of(body: bytes) -> str:
    try:
        return _page.decode(body).next_cursor or ""
    except DECODE_ERRORS:
        return ""


def _utc(at_s: int) -> str:
    """A moment as Gamma's filters want it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
