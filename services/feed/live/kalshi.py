"""Kalshi live: one signed socket; markets from REST; the normaliser itself asks for the subscriptions."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from libs.bounded import keep_newest
from libs.keys.venues.errors import BadKey
from libs.keys.venues.kinds import RsaKey
from libs.venues.frame import DECODE_ERRORS
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.auth import CredentialError, KalshiCredentials, RequestSigner
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.market_data.following import REFUSING_CODES
from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from libs.venues.kalshi.params import KalshiParams
from libs.venues.kalshi.schemas import wire
from libs.venues.transport.rate_limit import TokenBucket
from libs.venues.transport.websocket import VenueSocket
from proto.feed import Market, MarketStatus
from proto.message import Message
from proto.units import SECOND
from services.feed.live.credentials import load_feed_key
from services.feed.live.kalshi_pages import SeriesPoll, cursor_of
from services.feed.live.moment import now_ns
from services.feed.live.questions import Question, ask_each
from services.feed.live.source import Emit, FeedContext, LiveSource
from services.feed.live.unsettled import ENDED, UnresolvedMarkets

PAGE_ROWS = 200
"""Markets a page: about 2 kB each, so that a page stays well below the longest frame."""
OUTGOING_PER_S, OUTGOING_BURST = 10.0, 30.0
"""Commands on the socket; the venue answers more with `too many requests` (code 27)."""
PROBE_ID = 1_000_000
"""First id of the source's own commands, far above the normaliser's, so that answers can be distinguished."""
PROBED_MAX = 100
"""Probes kept until they are refused; an answer comes within a round trip."""
SERIES_CACHE_S = 3_600.0
"""A series' fees change seldom, and a read costs 10 of the 200 tokens a second that the account has for all."""
EVENTS_CACHE_S = 60.0
"""Which markets exclude each other hardly changes, and a change of fees is told by the socket at once."""
LATER_CACHE_S = 60.0
"""For markets that close later than is looked ahead, yet may be expected to end before: they are listed for days."""
EVENT_PAGE_ROWS = 200
"""Events a page; the venue's most."""
TICKERS_MAX = 100
"""Ended markets of one request."""

Query = dict[str, str | int]

_TICKER = re.compile(rb'"market_ticker":\s*"([A-Za-z0-9._-]{1,80})"')
_SUBSCRIBED = b'"subscribed"'
_ERROR = b'"error"'


class _Subscribed(msgspec.Struct, gc=False):
    class Body(msgspec.Struct, gc=False):
        channel: str
        sid: int

    msg: Body


_error = msgspec.json.Decoder(wire.Error)
_subscribed = msgspec.json.Decoder(_Subscribed)


class KalshiSource(LiveSource):
    """Follow the series of the section. ``signer`` holds the feed's own key, which cannot trade.

    ``normaliser`` returns the normaliser of this venue's frames.
    """

    venue = KALSHI

    def __init__(
        self,
        params: KalshiParams,
        emit: Emit,
        signer: RequestSigner,
        normaliser: Callable[[], KalshiNormaliser],
        client: KalshiClient | None = None,
    ) -> None:
        super().__init__(params, emit)
        self._params = params
        self._signer = signer
        self._client = client or KalshiClient(params.rest_url)
        self._normaliser = normaliser
        self._in_order = 0
        self._book_sid = 0
        self._asked = 0
        self._probed: dict[int, list[str]] = {}
        self._events_lost = 0
        # Markets of the followed series: name on the tape → expected end in ns.
        self._followed: dict[str, int] = {}
        # Series → what the last look at it did not find.
        self._missing: dict[str, str] = {}
        self._unresolved = UnresolvedMarkets()

    def open_socket(self) -> VenueSocket:
        params = self._params
        return VenueSocket(
            KALSHI,
            params.websocket_url,
            headers=partial(self._signer.headers, "GET", params.websocket_url),
            silence_s=params.silence_max_s,
            max_age_s=params.connection_max_s,
            outgoing=TokenBucket(OUTGOING_PER_S, OUTGOING_BURST),
        )

    def await_results(self, markets: Iterable[str]) -> None:
        for market in markets:
            self._unresolved.add(market)

    def poll_interval_s(self) -> float:
        return self._params.discovery_interval_s

    async def poll(self) -> None:
        """Request the markets of each series that close soon, and the results of those that have closed."""
        questions: list[Question] = []
        for series in self._params.series:
            # First, so that a market is told with its group.
            questions.append((f"events of {series}", partial(self._poll_events, series)))
            questions.append((series, partial(self._poll_series, series)))
        if ended := self._unresolved.next_batch(TICKERS_MAX):
            questions.append(("ended markets", partial(self._poll_ended, ended)))
        await ask_each(KALSHI, questions)

    async def _poll_ended(self, markets: list[str]) -> None:
        tickers = ",".join(market.partition(":")[2] for market in markets)
        await self.emit(rest_frame("markets", await self._client.raw("/markets", {"tickers": tickers})))

    async def _poll_series(self, series: str) -> None:
        # Published each time, so that every file of a recording holds the fees of its markets.
        fees = await self._client.raw(f"/series/{series}", cache_s=SERIES_CACHE_S)
        await self.emit(rest_frame("series", fees))
        now = now_ns()
        found = SeriesPoll(series, self._params, now)
        closing: Query = {
            "series_ticker": series,
            "min_close_ts": now // SECOND,
            "max_close_ts": found.horizon_s,
        }
        await self._poll_pages(closing, found)
        # What can close early is open long past its expected end: a game's latest close is days after it. Whole
        # minutes, so that an answer can be used again.
        later_s = found.horizon_s - found.horizon_s % int(LATER_CACHE_S)
        await self._poll_pages({"series_ticker": series, "min_close_ts": later_s + 1}, found, LATER_CACHE_S)
        self._missing[series] = found.note()

    async def _poll_events(self, series: str) -> None:
        """Ask which markets exclude each other, and which events have fees of their own."""
        query: Query = {"series_ticker": series, "status": "open", "limit": EVENT_PAGE_ROWS}
        for _ in range(self._params.discovery_pages_max_count):
            body = await self._client.raw("/events", query, cache_s=EVENTS_CACHE_S)
            await self.emit(rest_frame("events", body))
            if not (cursor := cursor_of(body)):
                return
            query["cursor"] = cursor

    async def _poll_pages(self, query: Query, found: SeriesPoll, cache_s: float = 0.0) -> None:
        """Hand on what is wanted of a list."""
        query["limit"] = PAGE_ROWS
        for _ in range(self._params.discovery_pages_max_count):
            body = await self._client.raw("/markets", query, cache_s=cache_s)
            if page := found.wanted(body, is_later=bool(cache_s)):
                await self.emit(rest_frame("markets", page))
            if not (cursor := cursor_of(body)):
                return
            query["cursor"] = cursor
        found.cut(is_later=bool(cache_s))

    @property
    def notes(self) -> list[str]:
        facts = {row.series: row for row in self._params.series_facts}
        unknown = [
            f"{name}: no reference price: {facts[name].why if name in facts else 'not in series_facts'}"
            for name in self._params.series
            if name not in facts or not facts[name].underlying
        ]
        most, beyond = self._params.markets_max_count, len(self._followed) - self._params.markets_max_count
        later = (
            [f"{beyond} markets that end later are not followed: at most {most} are"] if beyond > 0 else []
        )
        return [*unknown, *filter(None, self._missing.values()), *later, *self._normaliser().notes()]

    def proven_markets(self, data: bytes) -> Iterable[str]:
        # Only books are numbered: tickers and trades go on although the books' channel may be silent, and an old
        # number proves nothing. One market a frame; the venue's acknowledgements name none in this form.
        normaliser = self._normaliser()
        if normaliser.events_lost != self._events_lost:
            # What was told of the life of markets is lost; the lists say how they stand.
            self._events_lost = normaliser.events_lost
            self.poll_soon()
        in_order = normaliser.in_order
        if in_order == self._in_order:
            return ()
        self._in_order = in_order
        found = _TICKER.search(data)
        return () if found is None else (f"{KALSHI}:{found[1].decode()}",)

    async def on_frame(self, data: bytes) -> None:
        if _ERROR in data[:80]:
            self._on_refused(data)
        if _SUBSCRIBED in data[:80]:
            try:
                body = _subscribed.decode(data).msg
            except DECODE_ERRORS:
                return
            if body.channel == "orderbook_delta":
                self._book_sid = body.sid

    def _on_refused(self, data: bytes) -> None:
        """Probe each book by itself after a refused probe of several."""
        try:
            answer = _error.decode(data)
        except DECODE_ERRORS:
            return
        markets = self._probed.pop(answer.id, []) if answer.msg.code in REFUSING_CODES else []
        if len(markets) == 1:
            self.leases.refuse(markets)
            return
        for market in markets:
            self._enqueue(partial(self.probe, [market]))

    def handle_messages(self, messages: Sequence[Message], at: int) -> None:
        changed = False
        for message in messages:
            if isinstance(message, Market):
                self._handle_market(message)
                changed = True
        if changed:
            soonest = sorted(self._followed, key=self._followed.__getitem__)
            self.leases.follow(soonest[: self._params.markets_max_count], at)
        super().handle_messages(messages, at)

    def _handle_market(self, market: Market) -> None:
        """Follow a market of the series from listing to close, then wait until it is settled."""
        if market.status is MarketStatus.SETTLED:
            self._followed.pop(market.market, None)
            self._unresolved.discard(market.market)
        elif not self._is_followed(market.market.partition(":")[2]):
            return
        elif market.status in ENDED:
            self._followed.pop(market.market, None)
            self._unresolved.add(market.market)
        else:
            self._followed[market.market] = market.ends_at

    def _is_followed(self, ticker: str) -> bool:
        """Whether a market that was told is of a followed series; the normaliser tells no other that is new."""
        return any(ticker.startswith(f"{series}-") for series in self._params.series)

    def inconsistent_markets(self, at: int) -> Iterable[str]:
        return self._normaliser().inconsistent_markets(at)

    async def probe(self, markets: Sequence[str]) -> None:
        """Request the snapshots of these markets: a whole book is the best proof."""
        if not self._book_sid:
            return
        self._asked += 1
        params: dict[str, Any] = {
            "sids": [self._book_sid],
            "market_tickers": [market.partition(":")[2] for market in markets],
            "action": "get_snapshot",
        }
        command = {"id": PROBE_ID + self._asked, "cmd": "update_subscription", "params": params}
        self._probed[PROBE_ID + self._asked] = list(markets)
        keep_newest(self._probed, PROBED_MAX)
        await self.send(msgspec.json.encode(command))

    async def resubscribe(self, markets: Sequence[str]) -> None:
        await self.probe(markets)

    async def close(self) -> None:
        await self._client.close()


def build_source(section: Mapping[str, Any], context: FeedContext) -> KalshiSource:
    """Build the source of a section; its socket is signed with the feed's own key.

    Raises:
        KeyStoreError: there is no usable key.
    """
    params = KalshiParams.model_validate(section)
    signer = load_signer(context.feed_keys)
    return KalshiSource(
        params, context.emit, signer, lambda: context.normalisers.of(KALSHI, KalshiNormaliser)
    )


def load_signer(feed_keys: Path) -> RequestSigner:
    """Load the signer of the feed's Kalshi key. Raises ``KeyStoreError`` kinds."""
    key = load_feed_key(KALSHI, feed_keys)
    assert isinstance(key, RsaKey)
    try:
        return RequestSigner(KalshiCredentials(key.key_id, key.private_key_pem))
    except CredentialError as e:
        raise BadKey(str(e)) from e
