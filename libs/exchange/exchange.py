"""The matching core: our orders against the observed market, deterministic and plain data.

Rules, in short:

- an order is active ``latency`` after it was sent (tape time), a cancel takes as long; what is due is
  done when the first event at or after its moment is read, before that event itself counts;
- where a market holds takers back, what is marketable on arrival waits so long, cannot be cancelled
  meanwhile, and meets the book of then;
- what is marketable takes the displayed levels at their prices, never more than is left of them
  (``book.Taken``); IOC ends there, FOK trades whole or not at all, GTC and GTD rest;
- a resting order trades at its own price: after the queue ahead of it (``queue``), when a trade goes
  through its price, or when the book shows the other side at or beyond its price;
- GTD orders expire at their moment; a market that closes, or clears its book because its event begins,
  cancels what rests in it;
- our own orders never trade with one another.

Without an order or a spent level in an instrument, an event of it costs two dictionary operations.
"""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush

from msgspec import Struct, field

from libs.exchange.book import Taken, View
from libs.exchange.fees import Charged
from libs.exchange.orders import NEVER, Accepted, Ended, EndReason, ExchangeOrder, Executed, Report, Working
from libs.exchange.queue import join, serve, watch
from libs.exchange.rules import OVER, is_too_cheap, leg_of, refusal
from libs.venues.kalshi.fees import RETAIL_PRECISION
from proto.feed import Book, Level, Market, MarketStatus, Quote, Side, Trade
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE

NOTHING: tuple[Report, ...] = ()
QUEUE_TIMES_MAX = 8
"""Entries of the queue an order, most of them out of date: then it is made anew."""


class LegOrders(Struct):
    """What we have going in one leg: resting orders by arrival, spent levels, the last trade seen."""

    orders: list[str] = []
    taken: Taken = field(default_factory=Taken)
    last_trade: str = ""


class PaperExchange(Struct, dict=True):
    """State and rules of the core. Times are nanoseconds of tape time, ``precision`` money."""

    latency: int = 0
    precision: int = RETAIL_PRECISION
    markets: dict[str, Market] = {}
    mirrors: dict[str, str] = {}
    """Second outcome → first outcome of two-outcome markets: they share the first one's book."""
    books: dict[str, Book] = {}
    quotes: dict[str, Quote] = {}
    """Quotes newer than the book of their instrument."""
    desks: dict[str, LegOrders] = {}
    orders: dict[str, Working] = {}
    arrivals: int = 0
    due_at: int = NEVER

    # ── orders ──

    def submit(self, new: ExchangeOrder, now: int) -> Sequence[Report]:
        """Send an order at ``now``; the caller makes sure that an id is used once."""
        self.arrivals += 1
        self.orders[new.order] = Working(
            new=new, arrival=self.arrivals, remaining=new.quantity, active_at=now + self.latency
        )
        self._schedule(self.orders[new.order])
        return self.advance(now)

    def cancel(self, order: str, reason: str, now: int) -> Sequence[Report]:
        """Send a cancel at ``now``; one for an order that is not there changes nothing."""
        working = self.orders.get(order)
        if working is None or working.cancel_at != NEVER:
            return NOTHING
        working.cancel_at = now + self.latency
        working.cancel_reason = reason
        self._schedule(working)
        return self.advance(now)

    def advance(self, now: int) -> Sequence[Report]:
        """Do what is due by ``now``, in the order of its moments."""
        if now < self.due_at:
            return NOTHING
        reports: list[Report] = []
        queue = self._queue
        while queue:
            at, _, order = queue[0]
            working = self.orders.get(order)
            if working is None or working.next_at != at:
                heappop(queue)
                continue
            self.due_at = at
            if at > now:
                return reports
            heappop(queue)
            if working.active:
                reports.append(self._lapse(working))
            elif working.is_held:
                reports.extend(self._release(working))
            else:
                reports.extend(self._arrive(working))
            if order in self.orders:
                self._schedule(working)
        self.due_at = NEVER
        return reports

    @property
    def _queue(self) -> list[tuple[int, int, str]]:
        """A heap of when something is due for which order, the first to arrive first.

        It is no state: made from the orders when it is missing. What no longer holds is dropped when its turn comes.
        """
        queue: list[tuple[int, int, str]] | None = self.__dict__.get("queue")
        if queue is None or len(queue) > QUEUE_TIMES_MAX * (len(self.orders) + 1):
            queue = [(working.next_at, working.arrival, order) for order, working in self.orders.items()]
            heapify(queue)
            self.__dict__["queue"] = queue
        return queue

    def _schedule(self, working: Working) -> None:
        """Something else is due for an order than before."""
        at = working.next_at
        heappush(self._queue, (at, working.arrival, working.new.order))
        self.due_at = min(self.due_at, at)

    # ── the observed market ──

    def quote(self, event: Quote, now: int) -> Sequence[Report]:
        """The best prices of an instrument changed."""
        reports = NOTHING if now < self.due_at else self.advance(now)
        instrument = event.instrument
        self.quotes[instrument] = event
        if instrument in self.desks:
            return (*reports, *self._handle_view(instrument, now))
        return reports

    def book(self, event: Book, now: int) -> Sequence[Report]:
        """The levels of an instrument as they stand now."""
        reports = NOTHING if now < self.due_at else self.advance(now)
        instrument = event.instrument
        self.books[instrument] = event
        self.quotes.pop(instrument, None)
        if instrument in self.desks:
            return (*reports, *self._handle_view(instrument, now))
        return reports

    def trade(self, event: Trade, now: int) -> Sequence[Report]:
        """Somebody traded; either outcome's side of it may be reported, or both under one trade id."""
        reports = NOTHING if now < self.due_at else self.advance(now)
        if not self.desks:
            return reports
        leg = self.mirrors.get(event.instrument, event.instrument)
        desk = self.desks.get(leg)
        if desk is None or desk.last_trade == event.trade_id:
            return reports
        desk.last_trade = event.trade_id
        price, sold = event.price, event.aggressor is Side.SELL
        if leg != event.instrument:
            price, sold = ONE - price, not sold
        hit: list[Report] = []
        for buys in (True, False):
            if event.aggressor is None or sold is buys:
                hit.extend(self._fill_queued(leg, price, event.quantity, buys, now))
        return (*reports, *hit)

    def market(self, event: Market, now: int) -> Sequence[Report]:
        """A market changed; when it is over, what rests in it is cancelled."""
        reports = list(self.advance(now))
        outcomes = event.outcomes
        if event.status in OVER:
            reports.extend(self._close(event.market))
            for outcome in outcomes:
                self.books.pop(outcome.instrument, None)
                self.quotes.pop(outcome.instrument, None)
                self.desks.pop(outcome.instrument, None)
        if event.status is MarketStatus.SETTLED:
            self.markets.pop(event.market, None)
            if len(outcomes) == 2:
                self.mirrors.pop(outcomes[1].instrument, None)
            return reports
        self.markets[event.market] = event
        if len(outcomes) == 2:
            self.mirrors[outcomes[1].instrument] = outcomes[0].instrument
        for working in self.orders.values():
            if working.active and working.new.market == event.market:
                working.ends_at = _ends_at(working.new, event, now)
                self._schedule(working)
        return (*reports, *self.advance(now))

    def forget_books(self, venue: str = "", instrument: str = "") -> None:
        """The feed lost continuity (all, a venue, or an instrument): nothing is visible until it shows again."""
        for memory in (self.books, self.quotes):
            if instrument:
                memory.pop(instrument, None)
            else:
                prefix = f"{venue}:" if venue else ""
                for name in [name for name in memory if name.startswith(prefix)]:
                    del memory[name]

    # ── inside ──

    def _arrive(self, working: Working) -> Iterator[Report]:
        new = working.new
        market = self.markets.get(new.market)
        why = refusal(market, new, working.active_at)
        if why or market is None:
            yield self._end(working, EndReason.REJECTED, why)
            return
        working.leg, turned = leg_of(market, new.instrument)
        working.leg_buy = new.buy is not turned
        working.leg_price = ONE - new.price if turned else new.price
        view = self._view(working.leg)
        crosses = any(working.reaches(level.price) for level in _opposite(view, working))
        if crosses and (new.post_only or is_too_cheap(market, new)):
            detail = "post_only_would_cross" if new.post_only else "notional_too_small"
            yield self._end(working, EndReason.REJECTED, detail)
            return
        yield Accepted(new.order, new.quantity)
        if crosses and market.taker_delay_ms:
            working.is_held = True
            working.active_at += market.taker_delay_ms * MILLISECOND
        else:
            yield from self._enter(working, market)

    def _release(self, working: Working) -> Iterator[Report]:
        """An order was held back long enough: it meets the book as it is now, if the market still trades."""
        new = working.new
        market = self.markets.get(new.market)
        working.is_held = False
        if (
            market is None
            or market.status is not MarketStatus.OPEN
            or 0 < market.close_at <= working.active_at
        ):
            yield self._end(working, EndReason.CANCELED, "market_closed")
        elif new.time_in_force is TimeInForce.GTD and new.expires_at <= working.active_at:
            yield self._end(working, EndReason.EXPIRED, "expired")
        else:
            yield from self._enter(working, market)

    def _enter(self, working: Working, market: Market) -> Iterator[Report]:
        """Trade at once what can be, and rest, or end, with what remains."""
        new = working.new
        view = self._view(working.leg)
        desk = self.desks.setdefault(working.leg, LegOrders())
        working.ends_at = _ends_at(new, market, working.active_at)
        working.active = True
        desk.orders.append(new.order)
        if new.time_in_force is not TimeInForce.FOK or _reachable(view, working, desk) >= new.quantity:
            yield from self._take_levels(working, desk, view, maker=False)
        if working.remaining == 0:
            yield self._end(working, EndReason.FILLED)
        elif new.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            yield self._end(working, EndReason.CANCELED, new.time_in_force.value)
        else:
            join(working, view)

    def _take_levels(self, working: Working, desk: LegOrders, view: View, maker: bool) -> Iterator[Report]:
        """Trade against displayed levels: at their price when arriving, at the order's own when resting."""
        asks = working.leg_buy
        for level in _opposite(view, working):
            if working.remaining == 0 or not working.reaches(level.price):
                return
            quantity = min(working.remaining, desk.taken.available(not asks, level))
            if quantity:
                desk.taken.spend(not asks, level.price, quantity)
                yield self._execute(working, working.leg_price if maker else level.price, quantity, maker)

    def _handle_view(self, leg: str, now: int) -> Sequence[Report]:
        """Handle a changed book of a leg: move queues, fill orders that the other side has reached."""
        desk = self.desks[leg]
        view = self._view(leg)
        remembered = desk.taken.refresh(view)
        best_bid, best_ask = view.best(True), view.best(False)
        crossed = False
        for name in desk.orders:
            working = self.orders[name]
            watch(working, view, now)
            best = best_ask if working.leg_buy else best_bid
            crossed = crossed or (best is not None and working.reaches(best))
        if crossed:
            return [
                report
                for working in self._by_priority(desk)
                for report in self._fill_crossed(working, desk, view)
            ]
        if not desk.orders and not remembered:
            del self.desks[leg]
        return NOTHING

    def _fill_crossed(self, working: Working, desk: LegOrders, view: View) -> Iterator[Report]:
        """Fill a resting order whose price the other side has reached, at its own price."""
        yield from self._take_levels(working, desk, view, maker=True)
        if working.remaining == 0:
            yield self._end(working, EndReason.FILLED)

    def _fill_queued(self, leg: str, price: int, volume: int, buys: bool, now: int) -> Iterator[Report]:
        for working in self._by_priority(self.desks[leg]):
            if working.leg_buy is not buys:
                continue
            quantity = serve(working, price, volume, now)
            if quantity:
                volume -= quantity
                yield self._execute(working, working.leg_price, quantity, maker=True)
                if working.remaining == 0:
                    yield self._end(working, EndReason.FILLED)

    def _by_priority(self, desk: LegOrders) -> list[Working]:
        """Resting orders of a desk, best price first, then by arrival; the two sides do not mix."""
        resting = [self.orders[name] for name in desk.orders]
        resting.sort(key=lambda w: (w.leg_buy, -w.leg_price if w.leg_buy else w.leg_price, w.arrival))
        return resting

    def _execute(self, working: Working, leg_price: int, quantity: int, maker: bool) -> Executed:
        new = working.new
        working.remaining -= quantity
        working.fills += 1
        price = working.own_price(leg_price)
        fee = working.fees.charge(
            self.markets[new.market].fees, Charged(price, quantity, new.buy, maker), self.precision
        )
        return Executed(new.order, working.fills, price, quantity, fee, maker)

    def _lapse(self, working: Working) -> Ended:
        """An order's cancel took effect, or its time is up; whichever came first."""
        if working.cancel_at <= working.ends_at:
            return self._end(working, EndReason.CANCELED, working.cancel_reason)
        if working.new.time_in_force is TimeInForce.GTD and working.new.expires_at <= working.ends_at:
            return self._end(working, EndReason.EXPIRED, "expired")
        is_cleared = working.ends_at == self.markets[working.new.market].clears_at
        return self._end(working, EndReason.CANCELED, "book_cleared" if is_cleared else "market_closed")

    def _close(self, market: str) -> list[Report]:
        over = [w for w in self.orders.values() if w.is_taken and w.new.market == market]
        return [self._end(working, EndReason.CANCELED, "market_closed") for working in over]

    def _end(self, working: Working, reason: EndReason, detail: str = "") -> Ended:
        del self.orders[working.new.order]
        if working.active:
            self.desks[working.leg].orders.remove(working.new.order)
        return Ended(working.new.order, reason, working.filled, working.remaining, detail)

    def _view(self, leg: str) -> View:
        return View(self.books.get(leg), self.quotes.get(leg))


def _opposite(view: View, working: Working) -> tuple[Level, ...]:
    return view.levels(not working.leg_buy)


def _reachable(view: View, working: Working, desk: LegOrders) -> int:
    """How much an arriving order could trade at once."""
    return sum(
        desk.taken.available(not working.leg_buy, level)
        for level in _opposite(view, working)
        if working.reaches(level.price)
    )


def _ends_at(new: ExchangeOrder, market: Market, now: int) -> int:
    """When an order that rests ``now`` ends by itself: with the market, its clearing, or its own time."""
    ends = [market.close_at or NEVER]
    if market.clears_at > now:
        ends.append(market.clears_at)
    if new.time_in_force is TimeInForce.GTD:
        ends.append(new.expires_at)
    return min(ends)
