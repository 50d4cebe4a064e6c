"""Kalshi live: one signed socket; markets from REST; the normaliser itself asks for the subscriptions."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

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
from proto.units import SECOND, UnitError, parse
from services.feed.live.credentials import load_feed_key
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
TICKERS_MAX = 100
"""Ended markets of one request."""

_TICKER = re.compile(rb'"market_ticker":\s*"([A-Za-z0-9._-]{1,80})"')
_SUBSCRIBED = b'"subscribed"'
_ERROR = b'"error"'


class _Page(msgspec.Struct, gc=False):
    markets: list[msgspec.Raw] = []
    cursor: str = ""


class _Row(msgspec.Struct, gc=False):
    volume_fp: str = "0"


class _Subscribed(msgspec.Struct, gc=False):
    class Body(msgspec.Struct, gc=False):
        channel: str
        sid: int

    msg: Body


_page = msgspec.json.Decoder(_Page)
_row = msgspec.json.Decoder(_Row)
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
        # Markets of the followed series: name on the tape → close in ns.
        self._followed: dict[str, int] = {}
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
        questions: list[Question] = [
            (series, partial(self._poll_series, series)) for series in self._params.series
        ]
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
        now_s = now_ns() // SECOND
        query: dict[str, str | int] = {
            "series_ticker": series,
            "min_close_ts": now_s,
            "max_close_ts": now_s + self._params.time_to_close_max_hours * 3600,
            "limit": PAGE_ROWS,
        }
        for _ in range(self._params.discovery_pages_max_count):
            body = await self._client.raw("/markets", query)
            await self.emit(rest_frame("markets", self._traded_enough(body)))
            cursor = _page.decode(body).cursor
            if not cursor:
                return
            query["cursor"] = cursor

    def _traded_enough(self, body: bytes) -> bytes:
        """Return the page without the markets whose volume is too small."""
        if not self._params.volume_min:
            return body
        page = _page.decode(body)
        rows = [row for row in page.markets if _volume(row) >= self._params.volume_min]
        return msgspec.json.encode(_Page(rows, page.cursor))

    def proven_markets(self, data: bytes) -> Iterable[str]:
        # Only books are numbered: tickers and trades go on although the books' channel may be silent, and an old
        # number proves nothing. One market a frame; the venue's acknowledgements name none in this form.
        in_order = self._normaliser().in_order
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
        elif market.market.partition(":")[2].partition("-")[0] not in self._params.series:
            return
        elif market.status in ENDED:
            self._followed.pop(market.market, None)
            self._unresolved.add(market.market)
        else:
            self._followed[market.market] = market.close_at

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
        if len(self._probed) > PROBED_MAX:
            del self._probed[next(iter(self._probed))]
        await self.send(msgspec.json.encode(command))

    async def resubscribe(self, markets: Sequence[str]) -> None:
        await self.probe(markets)

    async def close(self) -> None:
        await self._client.close()


def _volume(row: msgspec.Raw) -> int:
    """Return the contracts traded in a market, in millionths; an unreadable row counts as none."""
    try:
        return parse(_row.decode(row).volume_fp)
    except (msgspec.DecodeError, UnitError):
        return 0


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
