"""Polymarket live: markets from Gamma, books from one socket, strikes from the price stream.

The normaliser itself asks for new and broken books; the source tells it of markets and asks for quiet ones.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from libs.venues.frame import DECODE_ERRORS, FRAME_BYTES_MAX, FrameError, rest_frame
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.market_data.market import PolymarketListing
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.market_data.prices import TOPICS, name_history
from libs.venues.polymarket.market_data.wanted import frames
from libs.venues.polymarket.params import PolymarketParams
from libs.venues.polymarket.schemas import gamma
from libs.venues.transport.http import VenueHttp
from libs.venues.transport.rate_limit import TokenBucket
from libs.venues.transport.websocket import VenueSocket
from proto.feed import Market, MarketStatus
from proto.message import Message
from proto.units import SECOND
from services.feed.live.gamma_pages import (
    PAGE_ROWS,
    Query,
    cursor_of,
    passes,
    past_query,
    rows_of,
    tag_query,
    window_slugs,
)
from services.feed.live.moment import now_ns
from services.feed.live.questions import Question, ask_each
from services.feed.live.source import Emit, FeedContext, LiveSource
from services.feed.live.unsettled import ENDED, UnresolvedMarkets

GAMMA_PER_S, GAMMA_BURST = 15.0, 30.0
"""A tenth of what Gamma allows for /markets (300 in 10 s): others behind the same address count too."""
KEEPALIVE = ("PING", 10.0)
PRICES_KEEPALIVE = ("PING", 5.0)
PRICES_SILENCE_S = 60.0
"""Chainlink's prices come every second."""
OUTGOING_PER_S, OUTGOING_BURST = 10.0, 30.0
"""Commands on the socket. No limit is published; a follower of some dozen markets needs far less."""
UNRESOLVED_MAX = 50
"""Ended markets polled at a time, each by a request of its own: four seconds of the budget."""
SOCKET_BYTES_MAX = 16 * FRAME_BYTES_MAX
"""Longest array of events; the books of one command can be 10 MB (``wanted.py``)."""
NOT_TRADING = (*ENDED, MarketStatus.SETTLED)
"""The normaliser keeps no books of these."""
BOOK_EVENTS = ("book", "price_change")
"""Events that prove that a market's books are current."""

_BOOKS = re.compile(rb'"event_type":\s*"(?:book|price_change)"')
_REST = b'{"_rest"'


class _Event(msgspec.Struct, gc=False):
    """Kind and market of an event of the market channel."""

    event_type: str = ""
    market: str = ""


_event = msgspec.json.Decoder(_Event)
_events = msgspec.json.Decoder(list[_Event])
_raws = msgspec.json.Decoder(list[msgspec.Raw])


class _Followed(msgspec.Struct):
    tokens: tuple[str, ...]
    expected_end_at: int


class PolymarketSource(LiveSource):
    """Follow windows and the markets of tags. ``normaliser`` returns the normaliser of this venue's frames."""

    venue = POLYMARKET

    def __init__(
        self, params: PolymarketParams, emit: Emit, normaliser: Callable[[], PolymarketNormaliser]
    ) -> None:
        super().__init__(params, emit)
        self._params = params
        self._normaliser = normaliser
        buckets = {"default": TokenBucket(GAMMA_PER_S, GAMMA_BURST)}
        self._gamma = VenueHttp(POLYMARKET, params.gamma_url, buckets)
        self._followed: dict[str, _Followed] = {}
        self._follows_more = False
        # What discovery has asked for and not found, in words.
        self._missing: dict[str, str] = {}
        self._unresolved = UnresolvedMarkets()
        # Told of as not trading any more. Gamma's lists may go on with them; there is nothing to prove.
        self._over = UnresolvedMarkets()
        self._topics: dict[VenueSocket, str] = {}

    def open_socket(self) -> VenueSocket:
        params = self._params
        return VenueSocket(
            POLYMARKET,
            params.market_websocket_url,
            subscribe=lambda: self._normaliser().subscriptions(),
            keepalive=KEEPALIVE,
            silence_s=params.silence_max_s,
            max_age_s=params.connection_max_s,
            frame_bytes_max=SOCKET_BYTES_MAX,
            outgoing=TokenBucket(OUTGOING_PER_S, OUTGOING_BURST),
        )

    def extra_sockets(self) -> Sequence[VenueSocket]:
        if not self._params.prices_websocket_url:
            return ()
        self._topics = {self._prices_socket(topic): topic for topic in TOPICS}
        return list(self._topics)

    def _prices_socket(self, topic: str) -> VenueSocket:
        """Build the socket of one topic: the history it begins with does not name its topic."""
        topics = [{"topic": topic, "type": "update"}]
        subscribe = msgspec.json.encode({"action": "subscribe", "subscriptions": topics})
        return VenueSocket(
            POLYMARKET,
            self._params.prices_websocket_url,
            subscribe=lambda: [subscribe],
            keepalive=PRICES_KEEPALIVE,
            silence_s=PRICES_SILENCE_S,
            max_age_s=self._params.connection_max_s,
        )

    def label_extra_frame(self, socket: VenueSocket, data: bytes) -> bytes:
        return name_history(data, self._topics[socket])

    def is_ready(self) -> bool:
        return bool(self._normaliser().tokens())

    # --- which markets --------------------------------------------------------------------------

    def await_results(self, markets: Iterable[str]) -> None:
        for market in markets:
            self._unresolved.add(market.partition(":")[2])

    def poll_interval_s(self) -> float:
        return self._params.discovery_interval_s

    async def poll(self) -> None:
        """Request the windows, the markets of the tags, and the results of those that have ended, from Gamma."""
        params, now = self._params, now_ns()
        tags = ("",) if params.any_tag else params.tags
        ended = dict.fromkeys([*self._unresolved.next_batch(UNRESOLVED_MAX), *self._ended(now)])
        hours, now_s = params.time_to_close_max_hours, now // SECOND
        questions: list[Question] = []
        for series in params.windows:
            running, *following = window_slugs([series], now_s)
            questions.append((running, partial(self._poll_window, running, series)))
            questions += [(slug, partial(self._poll_window, slug)) for slug in following]
        for tag in tags:
            name, soon, past = f"tag {tag or 'any'}", tag_query(tag, hours, now_s), past_query(tag, now_s)
            questions.append((name, partial(self._poll_tag, soon, name)))
            questions.append((f"{name}, past its end", partial(self._poll_tag, past, trading=True)))
        questions += [(f"market {c[:12]}", partial(self._poll_ended, c)) for c in ended]
        await ask_each(POLYMARKET, questions)

    def _ended(self, now: int) -> list[str]:
        """Return the followed markets whose end has passed: those of no window go on until Gamma closes them."""
        ended = (market for market, facts in self._followed.items() if 0 < facts.expected_end_at <= now)
        return [market.partition(":")[2] for market in ended]

    async def _fetch_rows(self, query: Query) -> list[msgspec.Raw]:
        answer = await self._gamma.request("GET", "/markets", effect=False, query=query)
        return rows_of(answer.body)

    @property
    def notes(self) -> list[str]:
        return [*filter(None, self._missing.values()), *self._normaliser().notes()]

    async def _poll_window(self, slug: str, series: str = "") -> None:
        """Follow a window; the running one of a series is missed where the venue lists none."""
        rows = await self._fetch_rows({"slug": slug})
        if series:
            self._missing[series] = "" if rows else f"{series}: the venue lists no {slug}"
        await self._emit_rows(filter(self._follow_listing, rows))

    async def _poll_tag(self, query: Query, name: str = "", *, trading: bool = False) -> None:
        """Follow the markets of a list, missed where none is wanted; with ``trading`` only those that take orders."""
        listed = wanted = 0
        for _ in range(self._params.discovery_pages_max_count):
            answer = await self._gamma.request("GET", "/markets/keyset", effect=False, query=query)
            rows = rows_of(answer.body)
            passing = [row for row in rows if passes(row, self._params)]
            listed, wanted = listed + len(rows), wanted + len(passing)
            if name:
                self._missing[name] = _missing_note(name, listed, wanted)
            await self._emit_rows(row for row in passing if self._follow_listing(row, trading=trading))
            cursor = cursor_of(answer.body)
            if not cursor:
                return
            query["after_cursor"] = cursor

    async def _poll_ended(self, condition: str) -> None:
        """Request a market that trades no more: proposed and disputed while Gamma calls it open, then closed.

        One from before a restart may still trade, and be in no list any more.
        """
        query: Query = {"condition_ids": condition}
        # Lists without ``closed`` leave the closed ones out.
        rows = await self._fetch_rows(query) or await self._fetch_rows(query | {"closed": "true"})
        await self._emit_rows(row for row in rows if self._follow_listing(row, ended=True))

    async def _emit_rows(self, rows: Iterable[msgspec.Raw]) -> None:
        """Pass markets on, a page at a time."""
        found = list(rows)
        for start in range(0, len(found), PAGE_ROWS):
            body = msgspec.json.encode(found[start : start + PAGE_ROWS])
            await self.emit(rest_frame("gamma_markets", body))

    def _follow_listing(self, raw: msgspec.Raw, *, ended: bool = False, trading: bool = False) -> bool:
        """Follow a market while there is room, and return whether it is passed on; an unreadable one is not.

        With ``ended`` any market that trades no more is passed on, and not followed. With ``trading`` a new one
        is followed only if it takes orders.
        """
        try:
            listing = PolymarketListing(gamma.read_market(raw))
        except FrameError as e:
            self._normaliser().odd_items.record("market", gamma.name_of(raw), str(e))
            return False
        market = f"{POLYMARKET}:{listing.condition}"
        if not listing.tradable:
            return False
        if market in self._followed or market in self._over or (ended and listing.status in NOT_TRADING):
            return True
        # The placeholders of an augmented event are listed by the dozen, and become active when they get a name.
        if not listing.is_active or (trading and listing.status is not MarketStatus.OPEN):
            return False
        if len(self._followed) >= self._params.markets_max_count:
            return False
        self._followed[market] = _Followed(listing.tokens, listing.expected_end_at)
        self._follows_more = True
        if listing.expected_end_at:
            # From its end on it is polled as a followed market; without an end it stays among the unresolved.
            self._unresolved.discard(listing.condition)
        return True

    def split_frame(self, data: bytes) -> Iterable[bytes]:
        # The answer to a subscription is one array of all its books, which may be far longer than a frame may be.
        if len(data) <= FRAME_BYTES_MAX or data[:1] != b"[":
            return (data,)
        try:
            return [bytes(event) for event in _raws.decode(data)]
        except DECODE_ERRORS:
            return (data,)

    # --- leases ---------------------------------------------------------------------------------

    def proven_markets(self, data: bytes) -> Iterable[str]:
        # Only a book and its changes prove the book: trades and best prices go on although its channel is silent.
        if data.startswith(_REST) or not _BOOKS.search(data):
            return ()
        try:
            events = _events.decode(data) if data[:1] == b"[" else [_event.decode(data)]
        except DECODE_ERRORS:
            return ()
        return {f"{POLYMARKET}:{event.market}" for event in events if event.event_type in BOOK_EVENTS}

    def handle_messages(self, messages: Sequence[Message], at: int) -> None:
        markets = [message for message in messages if isinstance(message, Market)]
        for market in markets:
            self._handle_market(market)
        if markets or self._follows_more:
            self._follows_more = False
            self.leases.follow(self._followed, at)
        super().handle_messages(messages, at)

    def _handle_market(self, market: Market) -> None:
        """Wait for the result of an ended market; one that trades is followed when listed (``_follow_listing``)."""
        condition = market.market.partition(":")[2]
        if market.status not in NOT_TRADING:
            self._over.discard(market.market)
            return
        self._followed.pop(market.market, None)
        self._over.add(market.market)
        if market.status is MarketStatus.SETTLED:
            self._unresolved.discard(condition)
        else:
            self._unresolved.add(condition)

    def inconsistent_markets(self, at: int) -> Iterable[str]:
        return self._normaliser().inconsistent_markets(at)

    async def probe(self, markets: Sequence[str]) -> None:
        """Unsubscribe and subscribe: the venue answers with whole books, or not at all if its channel is silent."""
        tokens = [
            token for market in markets if market in self._followed for token in self._followed[market].tokens
        ]
        for frame in (*frames("unsubscribe", tokens), *frames("subscribe", tokens)):
            await self.send(frame)

    async def resubscribe(self, markets: Sequence[str]) -> None:
        await self.probe(markets)

    async def close(self) -> None:
        await self._gamma.close()


def _missing_note(name: str, listed: int, wanted: int) -> str:
    """Say what a list has not; empty when it has what is wanted."""
    if wanted:
        return ""
    if listed:
        return f"{name}: none of {listed} markets has the volume, category and kind that are asked for"
    return f"{name}: no open market that should be decided within the hours asked for"


def build_source(section: Mapping[str, Any], context: FeedContext) -> PolymarketSource:
    """Build the source of a section."""
    params = PolymarketParams.model_validate(section)
    return PolymarketSource(
        params, context.emit, lambda: context.normalisers.of(POLYMARKET, PolymarketNormaliser)
    )
