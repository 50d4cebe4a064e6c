"""Raw Kalshi frames to feed messages: the order book by sequence, trades, and the life of markets.

Pure: time comes with the frames. A frame is validated completely before anything changes, so a frame
that raises leaves the books as they were. What a lost frame makes untrue is dropped, said with a Gap,
and asked for again; nothing is quoted from a market until a snapshot has healed it.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from libs.bounded import clip
from libs.venues.frame import FrameError
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.market_data import listings
from libs.venues.kalshi.market_data.following import MARKETS_MAX as FOLLOWED_MAX
from libs.venues.kalshi.market_data.following import REFUSING_CODES, Following, Params
from libs.venues.kalshi.market_data.grids import price_steps, structure_steps
from libs.venues.kalshi.market_data.payoff import Strikes, read_figure, read_strikes
from libs.venues.kalshi.market_data.streams import SequencePlace, Streams
from libs.venues.kalshi.market_data.table import KalshiTable
from libs.venues.kalshi.market_data.trades import Trades
from libs.venues.kalshi.params import KalshiParams
from libs.venues.kalshi.schemas import amounts, wire
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.kalshi.series import STANDARD_SERIES, SeriesFacts, SeriesTable
from libs.venues.odd_items import OddItems
from proto.feed import MarketStatus
from proto.message import Message
from proto.units import AMOUNT_MAX, ONE, SECOND

SNAPSHOT_RETRY_NS = 2 * SECOND
"""A snapshot answers within one round trip; after so long the request is taken for lost."""
DIFFERS_NS = 5 * SECOND
"""The ticker lags the book by a second or so; one that differs for so long is a reason to ask."""
COMMANDS_MAX = 1_000
"""Commands remembered until they are refused: far more than are ever on their way."""

Body = TypeVar("Body")
Facts = TypeVar("Facts")


class KalshiNormaliser:
    """Normalises the frames of one Kalshi connection, or of a recording of several in a row.

    Counters, for metrics and tests: ``frames`` read, ``unused`` of a type not used here, ``old``
    repeated sequence numbers, ``gaps`` books that broke, ``errors`` the venue reported (the ``last_error`` in its words),
    ``ticker_checks`` tickers
    compared with the book and ``ticker_matches`` equal ones (the ticker lags: about 90 %), ``in_order`` numbered
    frames that followed on the one before: each proves that none of its subscription was lost until then;
    ``events_lost`` holes in the numbers of the lifecycle channel; ``odd_items`` markets and events of lists that
    could not be read, each with its reason.

    With ``follow`` (series such as ``KXBTC15M``) the commands also subscribe: to the life of markets, and to
    the books of at most ``markets_max`` markets of these series as they are listed, by the socket or by
    REST answers. Without it every market whose frames come is read, as in a recording.
    """

    def __init__(
        self,
        follow: Sequence[str] = (),
        markets_max: int = FOLLOWED_MAX,
        series: Sequence[SeriesFacts] = STANDARD_SERIES,
    ) -> None:
        self.frames = 0
        self.unused = 0
        self.old = 0
        self.errors = 0
        self.last_error = ""
        self.ticker_checks = 0
        self.ticker_matches = 0
        self.in_order = 0
        self.events_lost = 0
        self.odd_items = OddItems(KALSHI)
        self._series = SeriesTable(series, follow)
        self._following = Following(follow, markets_max)
        self._table = KalshiTable(self._following, self._series)
        self._markets = self._table.markets
        self._streams = Streams()
        self._book_sid = 0
        self._requests = 0
        self._asked_about: OrderedDict[int, list[str]] = OrderedDict()
        self._amounts = amounts.AmountReader()
        # Whether levels of the NO side come in YES prices, as the connection was asked for.
        self._no_as_yes = False
        self._trades = Trades(self._amounts)
        self._handlers: dict[type, Callable[[Any, int, list[Message]], None]] = {
            wire.Delta: self._on_delta,
            wire.Snapshot: self._on_snapshot,
            wire.Trade: self._on_trade,
            wire.TickerFrame: self._on_ticker,
            wire.Lifecycle: self._on_lifecycle,
            wire.EventFee: self._on_event_fee,
            wire.Subscribed: self._on_subscribed,
            wire.Ok: self._on_numbered,
            wire.Unsubscribed: self._on_numbered,
            wire.Error: self._on_error,
            wire.WatchMarket: self._on_watch,
            wire.Connected: self._on_connection,
            wire.Disconnected: self._on_connection,
            wire.Rotated: self._on_unused,
            listings.RestAnswer: self._on_rest,
        }
        self._rest_handlers: dict[type, Callable[[Any, str, int, list[Message]], None]] = {
            rest.Markets: self._on_listed,
            rest.OneMarket: self._on_listed,
            rest.OneSeries: self._on_series,
            rest.Events: self._on_events,
            rest.OneBook: self._on_polled_book,
            rest.Trades: self._on_polled_trades,
        }

    @property
    def gaps(self) -> int:
        """Books that broke."""
        return self._table.gaps

    @property
    def wanted_snapshots(self) -> tuple[str, ...]:
        """Tickers of markets whose book is broken and not healed yet."""
        return tuple(self._table.wanted)

    def notes(self) -> list[str]:
        """What is left out of that which the venue lists, and why, in words."""
        count = self.odd_items.count
        found = [
            f"{count} odd rows skipped, last {odd.name}: {odd.reason}" for odd in self.odd_items.latest(1)
        ]
        if self._table.left_out:
            found.append(f"{len(self._table.left_out)} markets left out: {len(self._markets)} trade already")
        if self._table.evicted:
            found.append(f"{self._table.evicted} ended markets forgotten, last {self._table.last_evicted}")
        return found

    def normalise(self, data: bytes, at: int) -> list[Message]:
        """Read one frame received at ``at`` (ns) and return what it, and the time, changed.

        Raises:
            FrameError: for a frame that is not of the protocol; nothing has changed then.
        """
        is_rest = data.startswith(listings.REST_PREFIX)
        frame = listings.decode_rest(data) if is_rest else wire.decode(data)
        self.frames += 1
        out: list[Message] = []
        if frame is None:
            self.unused += 1
        else:
            self._handlers[type(frame)](frame, at, out)
        if at >= self._table.wake_at:
            self._table.on_time(at, out)
        return out

    def tick(self, at: int) -> list[Message]:
        """Time passed without a frame: books that waited for their turn, markets that open or close."""
        out: list[Message] = []
        if at >= self._table.wake_at:
            self._table.on_time(at, out)
        return out

    def resend(self, at: int) -> list[Message]:
        """Everything as it stands: all markets, and a snapshot of each whole book."""
        out: list[Message] = []
        for market in self._markets.values():
            out.append(market.facts(at))
            if market.whole:
                self._table.show_whole(market, at, out)
        return out

    def invalidate(self, market: str, at: int, reason: str) -> list[Message]:
        """Drop the book of ``market`` (``kalshi:T``), which may be out of date, and request it again."""
        out: list[Message] = []
        known = self._markets.get(market.removeprefix(f"{KALSHI}:"))
        if known is not None and known.whole and not known.over(at):
            self._table.break_off(known, at, reason, out)
        return out

    def inconsistent_markets(self, at: int) -> list[str]:
        """Markets whose whole book has differed from the venue's own best prices for ``DIFFERS_NS``."""
        return [
            market.market
            for market in self._markets.values()
            if market.differs_since and at - market.differs_since >= DIFFERS_NS
        ]

    def commands(self, at: int) -> list[bytes]:
        """Requests to send to the venue now; one that stays unanswered is repeated.

        Markets to follow or to leave, and a snapshot for each broken book.
        """
        commands = []
        for name, asked in self._following.commands(at):
            commands.append(self._command(name, asked))
            self._remember(asked)
        for ticker, asked_at in self._table.wanted.items():
            if asked_at and at - asked_at < SNAPSHOT_RETRY_NS:
                continue
            market = self._markets.get(ticker)
            sid = (market.sid if market else 0) or self._book_sid
            if self._following.active and not sid:
                # Not subscribed yet: subscribing brings the snapshot.
                continue
            self._table.wanted[ticker] = at
            params: dict[str, object] = {"sids": [sid], "market_tickers": [ticker], "action": "get_snapshot"}
            commands.append(self._command("update_subscription", params))
        return commands

    def _command(self, name: str, params: dict[str, object]) -> bytes:
        self._requests += 1
        return msgspec.json.encode({"id": self._requests, "cmd": name, "params": params})

    def _remember(self, params: Params) -> None:
        """Keep which markets the last command was about, in case that it is refused."""
        tickers = params.get("market_tickers")
        if isinstance(tickers, list):
            self._asked_about[self._requests] = tickers
            if len(self._asked_about) > COMMANDS_MAX:
                self._asked_about.popitem(last=False)

    # ── the order book ──────────────────────────────────────────────────────────────────────────────

    def _on_delta(self, frame: wire.Delta, at: int, out: list[Message]) -> None:
        body = frame.msg
        price = self._amounts.price(body.price_dollars)
        change = self._amounts.quantity(body.delta_fp)
        market = self._markets.get(body.market_ticker) or self._table.get(body.market_ticker)
        if body.side == "yes":
            side = market.yes
        else:
            side = market.no
            if self._no_as_yes:
                price = ONE - price
        quantity = side.levels.get(price, 0) + change
        if quantity > AMOUNT_MAX:
            raise FrameError(f"expected a level of at most {AMOUNT_MAX}, was {quantity}")
        if not self._in_order(frame.sid, frame.seq, at, out):
            return
        # A polled book is a picture of some moment: changes cannot be added to it.
        if not market.whole or market.polled:
            self._table.adopt(market, frame.sid, brings_book=True)
            self._table.break_off(market, at, "deltas without a snapshot", out)
            return
        if quantity < 0:
            self._table.break_off(market, at, f"negative level at {body.price_dollars}", out)
            return
        if not change:
            return
        best = side.best
        side.set(price, quantity)
        # A new size at the same best price is told by the next book, at most a tenth of a second later.
        if side.best != best:
            out.extend(market.quotes(at))
        if price >= side.floor and not market.pending:
            market.pending = True
            self._table.wake_at = min(self._table.wake_at, market.book_due_at)

    def _on_snapshot(self, frame: wire.Snapshot, at: int, out: list[Message]) -> None:
        body = frame.msg
        yes = self._amounts.levels(body.yes_dollars_fp)
        no = self._amounts.levels(body.no_dollars_fp)
        if self._no_as_yes:
            no = {ONE - price: quantity for price, quantity in no.items()}
        market = self._table.get(body.market_ticker)
        # A snapshot tells all, whatever was lost before it: after a gap it heals its market at once.
        if not self._in_order(frame.sid, frame.seq, at, out, accept_gap=True):
            return
        self._table.adopt(market, frame.sid, brings_book=True)
        market.yes.replace(yes)
        market.no.replace(no)
        market.polled = False
        market.differs_since = 0
        self._following.on_snapshot(market.ticker)
        self._table.healed(market, at, out)

    def _in_order(self, sid: int, seq: int, at: int, out: list[Message], *, accept_gap: bool = False) -> bool:
        """Count a numbered frame; false if it must not be applied. A gap breaks all books of its sid."""
        stream = self._streams.get(sid)
        if seq == stream.last + 1:
            stream.last = seq
            stream.old_run = 0
            self.in_order += 1
            return True
        order, last = stream.order(seq), stream.last
        stream.record(seq, order)
        if order is SequencePlace.OLD:
            self.old += 1
            return False
        if order is SequencePlace.GAP:
            for market in self._markets.values():
                if market.sid == sid and market.whole:
                    self._table.break_off(market, at, f"expected sequence {last + 1}, was {seq}", out)
            if accept_gap:
                stream.last = seq
        self.in_order += order is SequencePlace.NEXT
        return order is SequencePlace.NEXT or accept_gap

    # ── trades and tickers ──────────────────────────────────────────────────────────────────────────

    def _on_trade(self, frame: wire.Trade, at: int, out: list[Message]) -> None:
        out += self._trades.read(frame.msg, frame.msg.market_ticker, at)

    def _on_ticker(self, frame: wire.TickerFrame, at: int, out: list[Message]) -> None:  # noqa: ARG002
        """Compare the venue's own best prices with the book's; a check, nothing is emitted (see ``inconsistent_markets``)."""
        body = frame.msg
        market = self._markets.get(body.market_ticker)
        if market is None or not market.whole or body.yes_bid_dollars is None or body.yes_ask_dollars is None:
            return
        bid, ask = amounts.edge(body.yes_bid_dollars), amounts.edge(body.yes_ask_dollars)
        agrees = bid == market.yes.best and ask == ONE - market.no.best
        self.ticker_checks += 1
        self.ticker_matches += agrees
        market.differs_since = 0 if agrees else market.differs_since or at

    # ── the life of markets ─────────────────────────────────────────────────────────────────────────

    def _on_lifecycle(self, frame: wire.Lifecycle, at: int, out: list[Message]) -> None:
        body = frame.msg
        metadata = body.additional_metadata or wire.Metadata()
        series = self._series.series_of(body.market_ticker)
        steps = price_steps(body.price_ranges or []) or structure_steps(body.price_level_structure or "")
        listed = read_strikes(metadata.strike_type, metadata.floor_strike, metadata.cap_strike)
        strikes = listed.updated(read_strikes(body.strike_type, body.floor_strike, body.cap_strike))
        payout = listings.payout_of(body.result, body.settlement_value)
        status = listings.EVENTS.get(body.event_type)
        if not self._is_news(frame):
            return
        if not self._following.of_interest(series) or not self._table.has_room(body.market_ticker):
            self.unused += 1
            return
        market = self._table.get(body.market_ticker)
        self._table.adopt(market, market.sid)
        self._table.place(market, "", metadata.event_ticker or "")
        market.strikes = market.strikes.updated(strikes)
        if body.open_ts is not None:
            market.open_at = body.open_ts * SECOND
        if body.close_ts is not None:
            market.move_close(body.close_ts * SECOND, at)
        if metadata.expected_expiration_ts is not None:
            market.expected_end_at = metadata.expected_expiration_ts * SECOND
        if metadata.title:
            market.set_title(metadata.title)
        market.price_steps = steps or market.price_steps
        if body.result and status in (MarketStatus.DETERMINED, MarketStatus.SETTLED):
            market.result = body.result
            market.payout = market.payout if payout is None else payout
        self._table.announce(market, status, at, out)

    def _on_event_fee(self, frame: wire.EventFee, at: int, out: list[Message]) -> None:
        body = frame.msg
        fees = listings.override_of(body.fee_type_override, body.fee_multiplier_override)
        if self._is_news(frame):
            self._table.set_event_fees(body.event_ticker, fees, at, out)

    def _is_news(self, frame: wire.Lifecycle | wire.EventFee) -> bool:
        """Count a frame of the lifecycle channel; false for a repeated one.

        Each says all by itself, so that one after a hole is good; what was lost has to be looked up.
        """
        if frame.seq is None or not frame.sid:
            return True
        stream = self._streams.get(frame.sid)
        order = stream.order(frame.seq)
        stream.record(frame.seq, order)
        if order is SequencePlace.GAP:
            self.events_lost += 1
            stream.last = frame.seq
        self.old += order is SequencePlace.OLD
        return order is not SequencePlace.OLD

    def _on_watch(self, frame: wire.WatchMarket, at: int, out: list[Message]) -> None:
        body = frame.msg
        strikes, close_at = Strikes(floor=read_figure(body.strike)), amounts.nanoseconds(body.close_time)
        market = self._table.get(body.market_ticker)
        self._table.adopt(market, market.sid)
        market.strikes = market.strikes.updated(strikes)
        market.set_close(close_at)
        self._table.announce(market, listings.STATUSES.get(body.status), at, out)

    # ── the connection ──────────────────────────────────────────────────────────────────────────────

    def _on_connection(self, frame: wire.Connected | wire.Disconnected, at: int, out: list[Message]) -> None:
        """A connection begins or ends: sequences start again, and its books are not kept up any more."""
        lost = isinstance(frame, wire.Disconnected)
        reason = "connection lost" if lost else "connection started again"
        self._no_as_yes = isinstance(frame, wire.Connected) and frame.msg.use_yes_price
        self._streams.clear()
        self._asked_about.clear()
        self._following.on_connection(not lost)
        self._book_sid = 0
        for market in self._markets.values():
            if market.whole and not market.over(at):
                self._table.break_off(market, at, reason, out)
            market.drop_book()
            market.sid = 0
        # Subscribing brings the first snapshots by itself.
        self._table.wanted.clear()

    def _on_subscribed(self, frame: wire.Subscribed, at: int, out: list[Message]) -> None:  # noqa: ARG002
        self._following.on_subscribed(frame.msg.channel, frame.msg.sid)
        if frame.msg.channel == "orderbook_delta":
            self._book_sid = frame.msg.sid

    def _on_numbered(self, frame: wire.Ok | wire.Unsubscribed, at: int, out: list[Message]) -> None:
        if frame.seq is not None:
            self._in_order(frame.sid, frame.seq, at, out)

    def _on_error(self, frame: wire.Error, at: int, out: list[Message]) -> None:  # noqa: ARG002
        self.errors += 1
        self.last_error = clip(f"{frame.msg.code} {frame.msg.msg}", 200)
        tickers = self._asked_about.pop(frame.id, None)
        if tickers and frame.msg.code in REFUSING_CODES:
            self._following.refused(tickers, at)

    def _on_unused(self, frame: object, at: int, out: list[Message]) -> None:  # noqa: ARG002
        self.unused += 1

    # ── REST answers ────────────────────────────────────────────────────────────────────────────────

    def _on_rest(self, answer: listings.RestAnswer, at: int, out: list[Message]) -> None:
        self._rest_handlers[type(answer.body)](answer.body, answer.ticker, at, out)

    def _on_listed(
        self, body: rest.Markets | rest.OneMarket, _ticker: str, at: int, out: list[Message]
    ) -> None:
        """Apply the venue's listing of markets; it does not undo what the socket reported."""
        if isinstance(body, rest.OneMarket):
            found = [listings.read_listing(body.market)]
        else:
            found = self._read_each("market", body.markets, rest.Market, listings.read_listing)
        for listing in found:
            series = listing.series or self._series.series_of(listing.ticker)
            if not self._following.of_interest(series) or not self._table.has_room(listing.ticker):
                self.unused += 1
                continue
            market = self._table.get(listing.ticker, series)
            self._table.adopt(market, market.sid)
            self._table.place(market, listing.series, listing.event)
            listings.apply(market, listing, at)
            self._table.announce(market, listing.status, at, out, by_list=True)

    def _read_each(
        self, kind: str, raws: Sequence[msgspec.Raw], row_type: type[Body], read: Callable[[Body], Facts]
    ) -> list[Facts]:
        """Read each row of a page by itself; an odd one is kept with its reason and skipped.

        Raises:
            FrameError: for a page of nothing else.
        """
        found: list[Facts] = []
        for row in self.odd_items.readable(kind, raws, row_type):
            try:
                found.append(read(row))
            except FrameError as e:
                name = str(getattr(row, "ticker", "") or getattr(row, "event_ticker", ""))
                self.odd_items.record(kind, name, str(e))
        if raws and not found:
            raise FrameError(f"expected a {kind}: {self.odd_items.latest(1)[0].reason}")
        return found

    def _on_events(self, body: rest.Events, _ticker: str, at: int, out: list[Message]) -> None:
        """Which markets exclude each other, and fees of their own."""
        for event in self._read_each("event", body.events, rest.Event, listings.read_event):
            self._table.set_event(event, at, out)

    def _on_series(self, body: rest.OneSeries, _ticker: str, at: int, out: list[Message]) -> None:
        """The fees of a series, for all its markets."""
        self._table.set_fees(body.series.ticker, listings.fees_of(body.series), at, out)

    def _on_polled_book(self, body: rest.OneBook, ticker: str, at: int, out: list[Message]) -> None:
        """A whole book by REST, for who has no key for the socket. A book from the socket is better."""
        if not ticker:
            raise FrameError("expected the ticker of a polled book")
        yes = self._amounts.levels(body.orderbook_fp.yes_dollars or [])
        no = self._amounts.levels(body.orderbook_fp.no_dollars or [])
        market = self._table.get(ticker)
        if market.whole and not market.polled:
            self.unused += 1
            return
        self._table.adopt(market, market.sid, brings_book=True)
        market.yes.replace(yes)
        market.no.replace(no)
        market.polled = True
        self._table.healed(market, at, out)

    def _on_polled_trades(self, body: rest.Trades, _ticker: str, at: int, out: list[Message]) -> None:
        out += self._trades.read_page(body, at)


def build_normaliser(section: Mapping[str, Any]) -> KalshiNormaliser:
    """A normaliser of the section's series; without a section every market is read, as old recordings need it.

    Raises:
        ValidationError: for a section that is not Kalshi's.
    """
    if not section:
        return KalshiNormaliser()
    params = KalshiParams.model_validate(section)
    return KalshiNormaliser(params.series, params.markets_max_count, params.series_facts)
