"""Raw Polymarket frames to feed messages: books by token, trades, and the life of markets.

Pure: time comes with the frames. Every event of a frame is read and checked before any is applied, so a
frame that raises leaves no trace. There are no sequence numbers: continuity is proved by the venue's hash
of each book (``book.py``). A book that is not true is dropped, said with a Gap, and subscribed to again.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from libs.bounded import clip
from libs.venues.frame import FrameError
from libs.venues.numbers import number
from libs.venues.odd_items import OddItems
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.market_data.book import DOUBT_NS_MAX, Numbers, TokenBook, rows_of
from libs.venues.polymarket.market_data.book_hash import level_text
from libs.venues.polymarket.market_data.market import PolymarketListing
from libs.venues.polymarket.market_data.prices import Sample, Strikes
from libs.venues.polymarket.market_data.table import PolymarketTable
from libs.venues.polymarket.market_data.trades import TradePairs
from libs.venues.polymarket.market_data.wanted import first_frames
from libs.venues.polymarket.schemas import gamma, wire
from proto.feed import MarketStatus
from proto.message import Message
from proto.units import ONE, SECOND

_HASH_CHARACTERS = 40
DIFFERS_NS = 5 * SECOND
"""Best prices may come before the changes that made them; those that differ for so long are a reason to ask."""
Apply = Callable[[int, list[Message]], None]


class PolymarketNormaliser:
    """Normalises the frames of one market connection and the REST bodies beside it.

    Counters: ``frames`` read, ``unused`` events of no use here or of markets nobody asked for,
    ``odd_items`` markets of a page that could not be read, ``gaps``, ``checked`` and ``matched`` states compared with the venue's hash.
    ``errors`` stay 0: this venue reports none on its socket.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.unused = 0
        self.odd_items = OddItems(POLYMARKET)
        self.errors = 0
        self.last_error = ""
        self._table = PolymarketTable()
        self._markets = self._table.markets
        self._books = self._table.books
        self._wanted = self._table.wanted
        self._trades = TradePairs()
        self._strikes = Strikes()
        self._numbers = Numbers()
        self._readers: dict[type, Callable[[Any], Apply]] = {
            wire.BookEvent: self._read_book,
            wire.PriceChange: self._read_changes,
            wire.LastTrade: self._read_trade,
            wire.TickSizeChange: self._read_tick,
            wire.MarketResolved: self._read_resolved,
            wire.ClobBook: lambda frame: self._read_book(frame.body, rest=True),
            wire.GammaMarkets: self._read_gamma,
            wire.GammaEvents: self._read_gamma,
            wire.ClobMarket: self._read_clob_market,
            wire.Price: self._read_price,
            wire.Connected: lambda _: partial(self._on_connection, "connection started again", True),
            wire.Disconnected: lambda _: partial(self._on_connection, "connection lost", False),
            wire.BestBidAsk: lambda frame: partial(self._on_best, frame),
            wire.NewMarket: lambda _: self._on_unused,
            type(None): lambda _: self._on_unused,
        }

    @property
    def gaps(self) -> int:
        """Books that broke."""
        return self._table.gaps

    def notes(self) -> list[str]:
        """What is left out of that which the venue lists, and why, in words."""
        found = [
            f"{self.odd_items.count} odd rows skipped, last {odd.name}: {odd.reason}"
            for odd in self.odd_items.latest(1)
        ]
        if self._table.left_out:
            found.append(f"{len(self._table.left_out)} markets left out: {len(self._markets)} trade already")
        if self._table.evicted:
            found.append(f"{self._table.evicted} ended markets forgotten")
        return found

    @property
    def checked(self) -> int:
        """Book states compared with the venue's hash."""
        return self._table.checked

    @property
    def matched(self) -> int:
        """Those of them that were equal."""
        return self._table.matched

    @property
    def wanted(self) -> tuple[str, ...]:
        """Tokens whose book is missing or broken; ``/book`` heals them as well as a subscription does."""
        return self._wanted.tokens

    def tokens(self) -> tuple[str, ...]:
        """Every token to be subscribed to: the outcomes of all markets that have not ended."""
        return tuple(token for m in self._markets.values() if not m.over for token in m.tokens)

    def subscriptions(self) -> list[bytes]:
        """The first frames of a connection."""
        return first_frames(self.tokens())

    def normalise(self, data: bytes, at: int) -> list[Message]:
        """Read one frame received at ``at`` (ns) and return what it, and the time, changed.

        Raises:
            FrameError: for a frame that is not of the protocol; nothing has changed then.
        """
        # Read all, then apply all: no event of a bad frame counts.
        steps = [self._readers[type(event)](event) for event in wire.decode(data)]
        self.frames += 1
        out: list[Message] = []
        for step in steps:
            step(at, out)
        if at >= self._table.wake_at:
            self._table.on_time(at, out)
        return out

    def tick(self, at: int) -> list[Message]:
        """Publish the books that are due without a frame, and end books that stayed inconsistent."""
        out: list[Message] = []
        if at >= self._table.wake_at:
            self._table.on_time(at, out)
        return out

    def resend(self, at: int) -> list[Message]:
        """Everything as it stands: all markets, and a snapshot of each whole book."""
        out: list[Message] = [market.facts(at) for market in self._markets.values()]
        for book in self._books.values():
            if book.whole:
                self._table.show_whole(book, at, out)
        return out

    def inconsistent_markets(self, at: int) -> list[str]:
        """Markets with a whole book that has differed from the venue's own best prices for ``DIFFERS_NS``."""
        books = self._books.values()
        due = [b.condition for b in books if b.differs_since and at - b.differs_since >= DIFFERS_NS]
        return [f"{POLYMARKET}:{condition}" for condition in dict.fromkeys(due)]

    def commands(self, at: int) -> list[bytes]:
        """Subscriptions to send now: new tokens, and broken books by leaving and joining again."""
        return self._wanted.commands(at)

    def invalidate(self, market: str, at: int, reason: str) -> list[Message]:
        """Drop the books of ``market`` (``polymarket:0x…``), which may be out of date, and request them again."""
        out: list[Message] = []
        known = self._markets.get(market.removeprefix(f"{POLYMARKET}:"))
        if known is not None and not known.over:
            for token in known.tokens:
                if self._books[token].whole:
                    self._table.break_off(self._books[token], at, reason, out)
        return out

    # ── the order book ──────────────────────────────────────────────────────────────────────────────

    def _read_book(self, frame: wire.BookEvent | wire.ClobBook.Body, *, rest: bool = False) -> Apply:
        rows = [
            rows_of([(row.price, row.size) for row in side], self._numbers)
            for side in (frame.bids, frame.asks)
        ]
        if frame.tick_size:
            _check_tick(frame.tick_size)
        return partial(self._on_book, frame, rows, rest)

    def _on_book(
        self,
        frame: wire.BookEvent | wire.ClobBook.Body,
        rows: list[list[tuple[int, int, bytes]]],
        rest: bool,
        at: int,
        out: list[Message],
    ) -> None:
        book = self._books.get(frame.asset_id)
        # A REST body may be older than what the socket has brought since: it heals, it never replaces.
        market = self._markets.get(book.condition) if book else None
        if book is None or market is None or market.over or (rest and book.whole):
            self.unused += 1
            return
        book.bids.replace(rows[0])
        book.asks.replace(rows[1])
        book.timestamp = frame.timestamp
        book.hash = frame.hash if len(frame.hash) == _HASH_CHARACTERS else ""
        if frame.tick_size:
            # Newer than what was told before: it may have changed while the socket was away.
            market.tick, market.tick_told = frame.tick_size, True
            self._table.announce(market, at, out)
        book.tick = market.tick or book.tick
        book.last_trade = frame.last_trade_price if frame.last_trade_price is not None else book.last_trade
        if isinstance(frame, wire.ClobBook.Body):
            book.size_min = frame.min_order_size if frame.min_order_size is not None else book.size_min
            book.neg_risk = frame.neg_risk if frame.neg_risk is not None else book.neg_risk
        book.doubt_since = 0
        if not book.verify(at):
            self._table.break_off(book, at, "a snapshot's hash does not match", out, by_hash=True)
            return
        book.whole = True
        book.gapped = False
        book.differs_since = 0
        self._wanted.have(book.token)
        self._table.show_whole(book, at, out)

    def _read_changes(self, frame: wire.PriceChange) -> Apply:
        price, size, books = self._numbers.price, self._numbers.size, self._books
        rows = [(books.get(c.asset_id), price(c.price), size(c.size), c) for c in frame.price_changes]
        return partial(self._on_changes, rows, frame.timestamp)

    def _on_changes(
        self,
        rows: list[tuple[TokenBook | None, int, int, wire.LevelChange]],
        timestamp: str,
        at: int,
        out: list[Message],
    ) -> None:
        touched: dict[str, tuple[TokenBook, tuple[int | None, int | None], wire.LevelChange]] = {}
        for book, price, size, change in rows:
            if book is None or not book.whole:
                self.unused += 1
                continue
            if book.doubt_since and timestamp != book.timestamp:
                # The batch is over, and the book is not what the venue says it is.
                self._table.break_off(book, at, "a change's hash does not match", out, by_hash=True)
                continue
            seen = touched.get(book.token)
            touched[book.token] = (book, seen[1] if seen else book.top(), change)
            side = book.bids if change.side == "BUY" else book.asks
            side.set(price, size, level_text(change.price, change.size))
            book.timestamp = timestamp
            book.hash = change.hash if len(change.hash) == _HASH_CHARACTERS else ""
        for book, top, change in touched.values():
            if book.whole:
                self._changed(book, top, change, at, out)

    def _changed(
        self,
        book: TokenBook,
        top: tuple[int | None, int | None],
        change: wire.LevelChange,
        at: int,
        out: list[Message],
    ) -> None:
        """After a frame's changes to one book: check it, and show it."""
        tops = (change.best_bid, change.best_ask) if change.best_bid or change.best_ask else None
        if not book.verify(at, change.price, tops):
            self._table.wake(book.doubt_since + DOUBT_NS_MAX)
        if book.top() != top:
            out.append(book.quote(at))
        if not book.pending:
            book.pending = True
            self._table.wake(book.due_at)

    def _on_best(self, frame: wire.BestBidAsk, at: int, out: list[Message]) -> None:  # noqa: ARG002
        """Compare the venue's own best prices with the book's; a check, nothing is emitted (see ``inconsistent_markets``)."""
        book = self._books.get(frame.asset_id)
        if book is None or not book.whole:
            self.unused += 1
        else:
            agrees = book.tops_agree(frame.best_bid, frame.best_ask)
            book.differs_since = 0 if agrees else book.differs_since or at

    # ── trades and ticks ────────────────────────────────────────────────────────────────────────────

    def _read_trade(self, frame: wire.LastTrade) -> Apply:
        price, size = self._numbers.price(frame.price), self._numbers.size(frame.size or "0")
        return partial(self._on_trade, frame, price, size)

    def _on_trade(self, frame: wire.LastTrade, price: int, size: int, at: int, out: list[Message]) -> None:
        book = self._books.get(frame.asset_id)
        market = self._markets.get(book.condition) if book else None
        if book is None or market is None:
            self.unused += 1
            return
        book.last_trade = frame.price
        if size:
            out.extend(self._trades.messages_of(frame, market, price, size, at))

    def _read_tick(self, frame: wire.TickSizeChange) -> Apply:
        _check_tick(frame.new_tick_size)
        return partial(self._on_tick, frame)

    def _on_tick(self, frame: wire.TickSizeChange, at: int, out: list[Message]) -> None:
        book = self._books.get(frame.asset_id)
        market = self._markets.get(book.condition) if book else None
        if book is None or market is None:
            self.unused += 1
            return
        book.tick = market.tick = frame.new_tick_size
        market.tick_told = True
        self._table.announce(market, at, out)

    # ── the life of markets ─────────────────────────────────────────────────────────────────────────

    def _read_gamma(self, frame: wire.GammaMarkets | wire.GammaEvents) -> Apply:
        """Read a page. One odd market among a hundred is skipped; a page of nothing else is refused."""
        body = frame.body
        if not isinstance(body, wire.GammaPage):
            listed = isinstance(frame, wire.GammaEvents)
            body = wire.GammaPage(events=body) if listed else wire.GammaPage(markets=body)
        named = [("", raw) for raw in body.markets]
        odd: list[tuple[str, str, FrameError]] = []
        for raw_event in body.events:
            try:
                event = gamma.read_event(raw_event)
            except FrameError as e:
                odd.append(("event", gamma.name_of(raw_event), e))
                continue
            named += [(event.negRiskMarketID or "", raw) for raw in event.markets]
        listings = []
        for group, raw in named:
            try:
                listings.append(PolymarketListing(gamma.read_market(raw), group))
            except FrameError as e:
                odd.append(("market", gamma.name_of(raw), e))
        if odd and not listings:
            raise odd[0][2]
        return partial(self._on_listings, listings, odd)

    def _on_listings(
        self,
        listings: list[PolymarketListing],
        odd: list[tuple[str, str, FrameError]],
        at: int,
        out: list[Message],
    ) -> None:
        for kind, name, reason in odd:
            self.odd_items.record(kind, name, str(reason))
        for listing in listings:
            market = self._markets.get(listing.condition)
            if not listing.tradable or (market is not None and market.tokens != listing.tokens):
                self.unused += 1
                continue
            if market is None:
                market = self._table.adopt(listing.condition)
                if market is None:
                    continue
            was_over = market.over
            listing.apply(market, at)
            strike = self._strikes.of(market.symbol, market.average_s, market.open_at)
            market.strike = market.strike if strike is None else strike
            for index, token in enumerate(market.tokens):
                self._table.open_book(market, index, token)
                if was_over and not market.over:
                    self._wanted.add(token, joined=False)
            self._table.announce(market, at, out)

    def _read_resolved(self, frame: wire.MarketResolved) -> Apply:
        return partial(self._on_resolved, frame.market or "", frame.winning_asset_id or "")

    def _read_clob_market(self, frame: wire.ClobMarket) -> Apply:
        body = frame.body
        winners = [token.token_id for token in body.tokens if token.winner]
        if not body.closed or (len(winners) != 1 and not body.is_50_50_outcome):
            return self._on_unused
        winner = gamma.VOID if body.is_50_50_outcome else winners[0]
        return partial(self._on_resolved, body.condition_id, winner)

    def _on_resolved(self, condition: str, winner: str, at: int, out: list[Message]) -> None:
        """A market has its result. Without a winner it has ended, and Gamma will say how."""
        market = self._markets.get(condition)
        if market is None or (winner and winner != gamma.VOID and winner not in market.tokens):
            self.unused += 1
            return
        if winner:
            market.result = winner if winner == gamma.VOID else market.names[market.tokens.index(winner)]
        market.end(MarketStatus.SETTLED if market.result else MarketStatus.CLOSED, at)
        self._table.announce(market, at, out)

    def _read_price(self, frame: wire.Price) -> Apply:
        samples = self._strikes.read(frame)
        return partial(self._on_prices, samples, frame.type == "subscribe") if samples else self._on_unused

    def _on_prices(self, samples: list[Sample], past: bool, at: int, out: list[Message]) -> None:
        for sample in samples:
            self._strikes.add(sample, past=past)
        for market in self._markets.values():
            if market.strike is None and market.symbol and market.open_at <= at + SECOND:
                strike = self._strikes.of(market.symbol, market.average_s, market.open_at)
                if strike is not None:
                    market.strike = strike
                    self._table.announce(market, at, out)

    # ── time and the connection ─────────────────────────────────────────────────────────────────────

    def _on_connection(self, reason: str, up: bool, at: int, out: list[Message]) -> None:
        """A connection begins or ends: no book is kept up any more until its snapshot comes."""
        for book in self._books.values():
            market = self._markets.get(book.condition)
            if book.whole and market is not None and not market.over:
                self._table.break_off(book, at, reason, out)
            book.drop()
        for market in self._markets.values():
            # What changes while nobody listens is told by the next book, or by Gamma.
            market.tick_told = False
        # The first frame of a connection subscribes to all; what it does not bring is asked for later.
        self._wanted.begin(self.tokens() if up else (), at)

    def _on_unused(self, at: int, out: list[Message]) -> None:  # noqa: ARG002
        self.unused += 1


def _check_tick(text: str) -> None:
    """Raises ``FrameError`` for a tick that is none."""
    if not 0 < number(text) < ONE:
        raise FrameError(f"expected a tick between 0 and 1, was {clip(text, 40)!r}")


def build_normaliser(section: Mapping[str, Any]) -> PolymarketNormaliser:  # noqa: ARG001 - the form of the catalogue
    """A normaliser; it reads the same whatever is configured."""
    return PolymarketNormaliser()
