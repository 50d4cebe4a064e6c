"""Manifold live: markets and their pools from REST, bets and limit orders from one socket.

Markets are quiet for hours, so proof of continuity is requested by REST: the market with its pool.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from libs.bounded import clip
from libs.venues.errors import BadAnswer, Refused
from libs.venues.frame import DECODE_ERRORS, rest_frame
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.market_data.normalise import ManifoldNormaliser
from libs.venues.manifold.market_data.rest import ManifoldRest
from libs.venues.manifold.market_data.streams import manifold_socket, market_topics, subscribe_commands
from libs.venues.manifold.params import ManifoldParams
from libs.venues.transport.websocket import VenueSocket
from proto.feed import Market, MarketStatus
from proto.message import Message
from proto.units import MILLISECOND, SECOND, UnitError, parse
from services.feed.live.moment import now_ns
from services.feed.live.source import Emit, FeedContext, LiveSource
from services.feed.live.unsettled import UnresolvedMarkets

PAGE_ROWS = 100

_TOPIC = re.compile(rb'"topic":\s*"contract/([A-Za-z0-9]{1,100})/')
_MARKET = b'{"_rest":"market"'
ENDED_PER_POLL = 20
"""Closed markets asked about at each look, each in its turn."""
SETTLED_PER_POLL = 5
"""Settled ones: results are taken back now and then, and markets opened again."""


class _Row(msgspec.Struct, gc=False):
    """The fields that the filters read; ``closeTime`` in milliseconds."""

    id: str
    volume: float | None = None
    closeTime: float | None = None  # noqa: N815 - the venue's name


class _Found(msgspec.Struct, gc=False):
    body: list[msgspec.Raw]


class _One(msgspec.Struct, gc=False):
    class Body(msgspec.Struct, gc=False):
        id: str

    body: Body


_row = msgspec.json.Decoder(_Row)
_found = msgspec.json.Decoder(_Found)
_one = msgspec.json.Decoder(_One)


class ManifoldSource(LiveSource):
    """Follow the section's markets, and those found by its search term."""

    venue = MANIFOLD

    def __init__(
        self, params: ManifoldParams, emit: Emit, normaliser: Callable[[], ManifoldNormaliser]
    ) -> None:
        super().__init__(params, emit)
        self._params = params
        self._normaliser = normaliser
        self._rest = ManifoldRest(params.rest_url)
        self._followed: dict[str, None] = {}
        self._closed = UnresolvedMarkets()
        self._settled = UnresolvedMarkets()
        # What the search did not find, and what it found beyond what is followed, in words.
        self._missing = self._beyond = ""

    def open_socket(self) -> VenueSocket:
        params = self._params
        return manifold_socket(
            lambda: market_topics(self._followed),
            params.websocket_url,
            silence_s=params.silence_max_s,
            connection_max_s=params.connection_max_s,
        )

    def is_ready(self) -> bool:
        return bool(self._followed)

    @property
    def notes(self) -> list[str]:
        return [*filter(None, (self._missing, self._beyond)), *self._normaliser().notes()]

    def await_results(self, markets: Iterable[str]) -> None:
        for market in markets:
            self._closed.add(market.partition(":")[2])

    def poll_interval_s(self) -> float:
        return self._params.discovery_interval_s

    async def poll(self) -> None:
        """Search for markets; request pool and orders of new ones, and the results of ended ones."""
        wanted = list(self._params.markets) + (await self._search() if self._params.term else [])
        fresh = [c for c in dict.fromkeys(wanted) if not self._is_known(c)]
        most = self._params.markets_max_count
        beyond = fresh[max(0, most - len(self._followed)) :]
        self._beyond = f"{len(beyond)} markets are not followed: at most {most} are" if beyond else ""
        del fresh[len(fresh) - len(beyond) :]
        for contract in fresh:
            self._followed[contract] = None
            await self._poll_market(contract)
        if fresh and self.connected:
            for command in subscribe_commands(market_topics(fresh)):
                self.send_later(command)
        for ended, count in ((self._closed, ENDED_PER_POLL), (self._settled, SETTLED_PER_POLL)):
            for contract in ended.next_batch(count):
                await self._poll_ended(contract, ended)
        self.leases.follow([f"{MANIFOLD}:{contract}" for contract in self._followed], now_ns())

    async def _search(self) -> list[str]:
        """Return the contracts found by the search term that pass the filters."""
        found: dict[str, None] = {}
        seen = 0
        for page in range(self._params.discovery_pages_max_count):
            frame = await self._rest.search(self._params.term, PAGE_ROWS, page * PAGE_ROWS)
            rows = _rows_of(frame)
            seen += len(rows)
            passed = [(row, contract) for row in rows if (contract := self._passing(row))]
            if passed:
                body = msgspec.json.encode([row for row, _ in passed])
                await self.emit(rest_frame("search-markets", body))
            found.update(dict.fromkeys(contract for _, contract in passed))
            if len(rows) < PAGE_ROWS:
                break
        self._missing = "" if found else self._missing_note(seen)
        return list(found)

    def _missing_note(self, seen: int) -> str:
        """Say why a search found nothing that is wanted."""
        term, hours = self._params.term, self._params.time_to_close_max_hours
        if seen:
            return f"{term}: none of {seen} markets closes within {hours} h and was traded enough"
        return f"{term}: the venue finds no open market"

    def _passing(self, raw: msgspec.Raw) -> str:
        """Return the id of a found market that passes the filters; "" for any other."""
        try:
            row = _row.decode(raw)
            volume = parse(f"{row.volume or 0:.6f}")
        except (*DECODE_ERRORS, UnitError):
            return ""
        latest = now_ns() + self._params.time_to_close_max_hours * 3600 * SECOND
        soon = row.closeTime is not None and round(row.closeTime) * MILLISECOND <= latest
        return row.id if soon and volume >= self._params.volume_min else ""

    def _is_known(self, contract: str) -> bool:
        return contract in self._followed or contract in self._closed or contract in self._settled

    async def _poll_ended(self, contract: str, ended: UnresolvedMarkets) -> None:
        """Request what became of a market that does not trade; one that the venue does not know is left."""
        try:
            await self.emit(await self._rest.market(contract))
        except Refused as e:
            if e.status != 404:
                raise
            ended.discard(contract)

    async def _poll_market(self, contract: str) -> None:
        try:
            await self.emit(await self._rest.market(contract))
            await self.emit(await self._rest.open_orders(contract))
        except Refused as e:
            if e.status != 404:
                raise
            self._followed.pop(contract, None)

    def on_connected(self) -> None:
        """Request every market again: what happened before the connection is not known."""
        if self._followed:
            self._enqueue(partial(self.probe, [f"{MANIFOLD}:{contract}" for contract in self._followed]))

    def proven_markets(self, data: bytes) -> Iterable[str]:
        if data.startswith(_MARKET):
            try:
                return (f"{MANIFOLD}:{_one.decode(data).body.id}",)
            except DECODE_ERRORS:
                return ()
        found = _TOPIC.search(data)
        return () if found is None else (f"{MANIFOLD}:{found[1].decode()}",)

    def handle_messages(self, messages: Sequence[Message], at: int) -> None:
        for message in messages:
            if isinstance(message, Market):
                self._handle_market(message, at)
        super().handle_messages(messages, at)

    def _handle_market(self, market: Market, at: int) -> None:
        """Keep apart what trades, what waits for its result and what has one; each may become the other again."""
        contract = market.market.partition(":")[2]
        was_over = contract in self._closed or contract in self._settled
        self._closed.discard(contract)
        self._settled.discard(contract)
        if market.status is MarketStatus.SETTLED:
            self._settled.add(contract)
        elif market.status is not MarketStatus.OPEN or (
            was_over and len(self._followed) >= self._params.markets_max_count
        ):
            self._closed.add(contract)
        elif was_over:
            self._followed[contract] = None
            for command in subscribe_commands(market_topics([contract])) if self.connected else ():
                self.send_later(command)
        if market.status is not MarketStatus.OPEN:
            self._followed.pop(contract, None)
        elif not was_over:
            return
        self.leases.follow([f"{MANIFOLD}:{name}" for name in self._followed], at)

    async def probe(self, markets: Sequence[str]) -> None:
        """Request pool and orders, which make a whole book."""
        for market in markets:
            await self._poll_market(market.partition(":")[2])

    async def resubscribe(self, markets: Sequence[str]) -> None:
        contracts = [market.partition(":")[2] for market in markets]
        for command in subscribe_commands(market_topics(contracts)):
            await self.send(command)
        await self.probe(markets)

    async def close(self) -> None:
        await self._rest.close()


def _rows_of(frame: bytes) -> list[msgspec.Raw]:
    """Return the markets of an answer to a search."""
    try:
        return _found.decode(frame).body
    except DECODE_ERRORS as e:
        raise BadAnswer(MANIFOLD, clip(f"expected a list of markets: {e}", 200)) from e


def build_source(section: Mapping[str, Any], context: FeedContext) -> ManifoldSource:
    """Build the source of a section."""
    params = ManifoldParams.model_validate(section)
    return ManifoldSource(params, context.emit, lambda: context.normalisers.of(MANIFOLD, ManifoldNormaliser))
