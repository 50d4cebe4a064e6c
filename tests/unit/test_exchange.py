"""The matching core: what an order gets from the observed market, and never more."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.exchange.book import Taken, View
from libs.exchange.exchange import Exchange
from libs.exchange.orders import UNSEEN, Accepted, Ended, EndReason, Executed, NewOrder, Report
from libs.exchange.rules import leg_of, on_grid
from proto.feed import (
    BOOK_LEVELS_MAX,
    Book,
    FeeSchedule,
    Level,
    Market,
    MarketStatus,
    Outcome,
    PriceStep,
    Quote,
    Side,
    Trade,
)
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE, SECOND

YES, NO, MARKET = "kalshi:T:yes", "kalshi:T:no", "kalshi:T"
START = 1_000 * SECOND
LATENCY = 100 * MILLISECOND
CLOSE = START + 900 * SECOND
CENT = 10_000


def listing(status: MarketStatus = MarketStatus.OPEN, **changes: Any) -> Market:
    market = Market(
        market=MARKET,
        venue="kalshi",
        at=START,
        status=status,
        outcomes=(Outcome("yes", YES), Outcome("no", NO)),
        close_at=CLOSE,
        price_steps=(PriceStep(0, CENT),),
        quantity_step=CENT,
        fees=FeeSchedule("kalshi_quadratic", 70_000, 0),
    )
    return msgspec.structs.replace(market, **changes)


def levels(rows: dict[int, int]) -> tuple[Level, ...]:
    return tuple(Level(price * CENT, quantity * ONE) for price, quantity in rows.items())


class Venue:
    """An exchange with a market on it; prices in cents, quantities in contracts, times in milliseconds."""

    def __init__(self, latency: int = 0) -> None:
        self.exchange = Exchange(latency=latency)
        self.now = START
        self.sent: dict[str, NewOrder] = {}
        self.trades = 0
        self.exchange.market(listing(), self.now)

    def wait(self, milliseconds: int) -> list[Report]:
        self.now += milliseconds * MILLISECOND
        return list(self.exchange.advance(self.now))

    def book(self, bids: dict[int, int], asks: dict[int, int], instrument: str = YES) -> list[Report]:
        event = Book(instrument=instrument, at=self.now, counter=1, bids=levels(bids), asks=levels(asks))
        return list(self.exchange.book(event, self.now))

    def quote(self, bid: tuple[int, int] | None, ask: tuple[int, int] | None) -> list[Report]:
        event = Quote(
            instrument=YES,
            at=self.now,
            counter=1,
            bid=None if bid is None else bid[0] * CENT,
            bid_size=0 if bid is None else bid[1] * ONE,
            ask=None if ask is None else ask[0] * CENT,
            ask_size=0 if ask is None else ask[1] * ONE,
        )
        return list(self.exchange.quote(event, self.now))

    def trade(
        self, price: int, quantity: int, aggressor: Side | None = None, instrument: str = YES, name: str = ""
    ) -> list[Report]:
        self.trades += 1
        event = Trade(
            instrument=instrument,
            at=self.now,
            trade_id=name or f"t{self.trades}",
            price=price * CENT,
            quantity=quantity * ONE,
            aggressor=aggressor,
        )
        return list(self.exchange.trade(event, self.now))

    def send(
        self,
        order: str,
        price: int,
        quantity: int,
        *,
        buy: bool = True,
        instrument: str = YES,
        tif: TimeInForce = TimeInForce.GTC,
        expires_ms: int = 60_000,
        post_only: bool = False,
    ) -> list[Report]:
        new = NewOrder(
            order=order,
            market=MARKET,
            instrument=instrument,
            buy=buy,
            price=price * CENT,
            quantity=quantity * ONE,
            time_in_force=tif,
            expires_at=self.now + expires_ms * MILLISECOND,
            post_only=post_only,
        )
        self.sent[order] = new
        return list(self.exchange.submit(new, self.now))


def got(reports: list[Report]) -> list[tuple[str, int, int, bool]]:
    """(order, cents, contracts, maker) of the executions among reports."""
    return [
        (r.order, r.price // CENT, r.quantity // ONE, r.maker) for r in reports if isinstance(r, Executed)
    ]


def ends(reports: list[Report]) -> list[tuple[str, EndReason, str]]:
    return [(r.order, r.reason, r.detail) for r in reports if isinstance(r, Ended)]


# ── taking ──


def test_a_marketable_order_walks_the_visible_levels_up_to_its_limit():
    venue = Venue()
    venue.book({44: 9}, {45: 5, 46: 7, 48: 50})
    reports = venue.send("a", 46, 20)
    assert reports[0] == Accepted("a", 20 * ONE)
    assert got(reports) == [("a", 45, 5, False), ("a", 46, 7, False)]
    assert venue.exchange.orders["a"].remaining == 8 * ONE


def test_what_was_taken_stays_taken_until_the_level_is_refreshed():
    venue = Venue()
    venue.book({44: 9}, {45: 5})
    assert got(venue.send("a", 45, 4, tif=TimeInForce.IOC)) == [("a", 45, 4, False)]
    assert got(venue.send("b", 45, 4, tif=TimeInForce.IOC)) == [("b", 45, 1, False)]
    venue.book({44: 9}, {45: 5})
    assert got(venue.send("c", 45, 4, tif=TimeInForce.IOC)) == []
    venue.book({44: 9}, {45: 7})
    assert got(venue.send("d", 45, 4, tif=TimeInForce.IOC)) == [("d", 45, 2, False)]
    venue.book({44: 9}, {46: 7})
    venue.book({44: 9}, {45: 3})
    assert got(venue.send("e", 45, 4, tif=TimeInForce.IOC)) == [("e", 45, 3, False)]


def test_both_outcomes_draw_on_one_book():
    venue = Venue()
    venue.book({44: 6}, {45: 5})
    # Buying NO at 56 takes the bid for YES at 44.
    assert got(venue.send("no", 56, 4, instrument=NO, tif=TimeInForce.IOC)) == [("no", 56, 4, False)]
    assert got(venue.send("yes", 44, 9, buy=False, tif=TimeInForce.IOC)) == [("yes", 44, 2, False)]


def test_fill_or_kill_fills_whole_or_not_at_all():
    venue = Venue()
    venue.book({44: 9}, {45: 5, 46: 7})
    reports = venue.send("a", 46, 13, tif=TimeInForce.FOK)
    assert got(reports) == []
    assert ends(reports) == [("a", EndReason.CANCELED, "fok")]
    reports = venue.send("b", 46, 12, tif=TimeInForce.FOK)
    assert sum(quantity for _, _, quantity, _ in got(reports)) == 12
    assert ends(reports) == [("b", EndReason.FILLED, "")]


def test_nothing_is_taken_from_a_book_that_is_not_seen():
    venue = Venue()
    venue.book({44: 9}, {45: 5})
    venue.exchange.forget_books(venue="kalshi")
    assert got(venue.send("a", 46, 3, tif=TimeInForce.IOC)) == []


def test_a_newer_quote_overrides_the_book_it_follows():
    venue = Venue()
    venue.book({44: 9, 43: 1}, {45: 5, 46: 7})
    venue.quote((44, 9), (46, 2))
    assert got(venue.send("a", 46, 20, tif=TimeInForce.IOC)) == [("a", 46, 2, False)]
    venue.quote((44, 9), None)
    assert got(venue.send("b", 99, 20, tif=TimeInForce.IOC)) == []


def test_a_level_that_a_newer_quote_says_is_gone_has_no_queue():
    venue = Venue()
    venue.book({44: 9, 43: 6}, {46: 5})
    venue.quote((43, 6), (46, 5))
    venue.send("a", 44, 4)
    venue.send("b", 43, 4)
    assert [venue.exchange.orders[name].ahead // ONE for name in "ab"] == [0, 6]


# ── resting ──


def test_a_resting_order_waits_for_the_queue_ahead_of_it():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 44, 4)
    assert got(venue.trade(44, 7, Side.SELL)) == []
    assert got(venue.trade(44, 5, Side.BUY)) == []
    assert got(venue.trade(44, 5, Side.SELL)) == [("a", 44, 2, True)]
    reports = venue.trade(44, 5, Side.SELL)
    assert got(reports) == [("a", 44, 2, True)]
    assert ends(reports) == [("a", EndReason.FILLED, "")]


def test_inside_the_spread_there_is_no_queue():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 45, 4)
    assert got(venue.trade(45, 3)) == [("a", 45, 3, True)]


def test_a_shrinking_level_moves_the_queue_and_a_late_trade_does_not_move_it_again():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 44, 4)
    venue.book({44: 3}, {46: 5})
    assert venue.exchange.orders["a"].ahead == 3 * ONE
    # The trade that made the level shrink is reported now: it pays the credit, no more.
    assert got(venue.trade(44, 7, Side.SELL)) == []
    assert venue.exchange.orders["a"].ahead == 3 * ONE
    assert got(venue.trade(44, 5, Side.SELL)) == [("a", 44, 2, True)]


def test_credit_lapses():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 44, 4)
    venue.book({44: 3}, {46: 5})
    venue.wait(1_001)
    assert got(venue.trade(44, 5, Side.SELL)) == [("a", 44, 2, True)]


def test_a_trade_through_the_price_fills_as_far_as_its_volume():
    venue = Venue()
    venue.book({44: 10, 43: 10}, {46: 5})
    venue.send("a", 44, 4)
    assert got(venue.trade(43, 3, Side.SELL)) == [("a", 44, 3, True)]


def test_one_trade_serves_our_orders_in_turn_and_only_once():
    venue = Venue()
    venue.book({40: 10}, {60: 5})
    venue.send("late", 44, 4)
    venue.send("best", 45, 4)
    venue.send("last", 44, 4)
    assert got(venue.trade(44, 9, Side.SELL, name="x")) == [
        ("best", 45, 4, True),
        ("late", 44, 4, True),
        ("last", 44, 1, True),
    ]
    assert got(venue.trade(56, 9, Side.BUY, instrument=NO, name="x")) == []


def test_a_trade_reported_on_the_other_outcome_is_turned_round():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 45, 4)
    assert got(venue.trade(55, 3, Side.SELL, instrument=NO)) == []
    assert got(venue.trade(55, 3, Side.BUY, instrument=NO)) == [("a", 45, 3, True)]


def test_the_other_side_coming_to_our_price_fills_at_our_price():
    venue = Venue()
    venue.book({44: 10}, {46: 5})
    venue.send("a", 45, 4)
    assert got(venue.book({43: 1}, {44: 3})) == [("a", 45, 3, True)]
    assert got(venue.book({43: 1}, {44: 3})) == []


def test_deep_orders_learn_their_place_when_their_level_shows():
    venue = Venue()
    deep = dict.fromkeys(range(44, 44 - BOOK_LEVELS_MAX, -1), 1)
    venue.book(deep, {46: 5})
    venue.send("a", 20, 4)
    assert venue.exchange.orders["a"].ahead == UNSEEN
    assert got(venue.trade(20, 50, Side.SELL)) == []
    venue.book({20: 8}, {46: 5})
    assert venue.exchange.orders["a"].ahead == 8 * ONE


# ── life of an order ──


def test_orders_and_cancels_take_their_time():
    venue = Venue(latency=LATENCY)
    venue.book({44: 9}, {45: 5})
    assert venue.send("a", 45, 2, tif=TimeInForce.IOC) == []
    assert venue.wait(99) == []
    # The book of the moment of arrival counts, not the one whose event let it arrive.
    venue.now += MILLISECOND
    assert got(venue.book({44: 9}, {47: 5})) == [("a", 45, 2, False)]
    venue.send("b", 44, 2)
    venue.wait(100)
    assert list(venue.exchange.cancel("b", "why", venue.now)) == []
    assert ends(venue.wait(100)) == [("b", EndReason.CANCELED, "why")]
    assert venue.exchange.cancel("b", "again", venue.now) == ()


def test_a_dated_order_expires_and_a_market_that_closes_cancels():
    venue = Venue()
    venue.book({44: 9}, {46: 5})
    venue.send("a", 44, 2, tif=TimeInForce.GTD, expires_ms=5_000)
    venue.send("b", 44, 2)
    assert ends(venue.wait(4_999)) == []
    assert ends(venue.wait(1)) == [("a", EndReason.EXPIRED, "expired")]
    venue.now = CLOSE
    assert ends(venue.wait(0)) == [("b", EndReason.CANCELED, "market_closed")]


def test_a_market_that_closes_earlier_than_announced_takes_its_orders_along():
    venue = Venue()
    venue.send("a", 44, 2)
    venue.exchange.market(listing(close_at=START + 5 * SECOND), venue.now)
    assert ends(venue.wait(4_999)) == []
    assert ends(venue.wait(1)) == [("a", EndReason.CANCELED, "market_closed")]


def test_a_market_said_to_be_closed_cancels_at_once():
    venue = Venue()
    venue.send("a", 44, 2)
    reports = list(venue.exchange.market(listing(MarketStatus.CLOSED), venue.now))
    assert ends(reports) == [("a", EndReason.CANCELED, "market_closed")]
    assert ends(venue.send("b", 44, 2)) == [("b", EndReason.REJECTED, "market_not_open")]


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("unknown_market", {"market": "kalshi:X"}),
        ("unknown_instrument", {"instrument": "kalshi:T:maybe"}),
        ("expired", {"expires_at": START}),
        ("price_off_grid", {"price": 445_000}),
        ("price_off_grid", {"price": 0}),
        ("price_off_grid", {"price": ONE}),
        ("quantity_off_grid", {"quantity": 5_000}),
        ("quantity_off_grid", {"quantity": 0}),
    ],
)
def test_what_breaks_the_rules_is_rejected(why, changes):
    order = NewOrder("a", MARKET, YES, True, 44 * CENT, ONE, TimeInForce.GTC, START + SECOND)
    exchange = Venue().exchange
    reports = list(exchange.submit(msgspec.structs.replace(order, **changes), START))
    assert ends(reports) == [("a", EndReason.REJECTED, why)]
    assert not exchange.orders


def test_a_fee_nobody_can_compute_is_not_traded_on():
    venue = Venue()
    venue.exchange.market(listing(fees=FeeSchedule("riddle", 1, 1)), venue.now)
    assert ends(venue.send("a", 44, 2)) == [("a", EndReason.REJECTED, "unknown_fees")]


def test_post_only_never_takes():
    venue = Venue()
    venue.book({44: 9}, {45: 5})
    assert ends(venue.send("a", 45, 2, post_only=True)) == [
        ("a", EndReason.REJECTED, "post_only_would_cross")
    ]
    assert ends(venue.send("b", 44, 2, post_only=True)) == []


def test_price_steps_hold_on_the_first_outcome_and_mirror_to_the_second():
    tapered = listing(price_steps=(PriceStep(0, 1_000), PriceStep(100_000, CENT), PriceStep(900_000, 1_000)))
    assert [on_grid(tapered, p) for p in (55_000, 99_500, 455_000, 450_000, 905_000)] == [
        True,
        False,
        False,
        True,
        True,
    ]
    assert leg_of(tapered, NO) == (YES, True)
    assert leg_of(tapered, YES) == (YES, False)


def test_an_instrument_without_orders_costs_no_desk():
    venue = Venue()
    venue.book({44: 9}, {45: 5})
    venue.trade(44, 5)
    assert not venue.exchange.desks
    venue.send("a", 45, 5, tif=TimeInForce.IOC)
    venue.book({44: 9}, {46: 5})
    assert not venue.exchange.desks


# ── properties ──

STEPS = st.one_of(
    st.tuples(
        st.just("book"),
        st.integers(30, 60),
        st.integers(1, 10),
        st.lists(st.integers(1, 9), min_size=0, max_size=4),
        st.lists(st.integers(1, 9), min_size=0, max_size=4),
    ),
    st.tuples(
        st.just("quote"), st.integers(30, 60), st.integers(1, 10), st.integers(0, 9), st.integers(0, 9)
    ),
    st.tuples(
        st.just("trade"),
        st.integers(25, 75),
        st.integers(1, 20),
        st.sampled_from((None, Side.BUY, Side.SELL)),
        st.booleans(),
    ),
    st.tuples(
        st.just("send"),
        st.integers(25, 75),
        st.integers(1, 20),
        st.tuples(st.booleans(), st.booleans(), st.booleans()),
        st.sampled_from(TimeInForce),
    ),
    st.tuples(st.just("cancel"), st.integers(0, 10)),
    st.tuples(st.just("wait"), st.integers(0, 20_000)),
)


def play(venue: Venue, step: tuple[Any, ...], number: int) -> list[Report]:
    venue.now += 7 * MILLISECOND
    kind = step[0]
    if kind == "book":
        _, bid, spread, bids, asks = step
        return venue.book(
            {bid - n: q for n, q in enumerate(bids)}, {bid + spread + n: q for n, q in enumerate(asks)}
        )
    if kind == "quote":
        _, bid, spread, bid_size, ask_size = step
        return venue.quote(
            (bid, bid_size) if bid_size else None, (bid + spread, ask_size) if ask_size else None
        )
    if kind == "trade":
        _, price, quantity, aggressor, mirrored = step
        instrument, cents = (NO, 100 - price) if mirrored else (YES, price)
        return venue.trade(cents, quantity, aggressor, instrument, name=f"trade{number}")
    if kind == "send":
        _, price, quantity, (buy, mirrored, post_only), tif = step
        return venue.send(
            f"o{number}",
            price,
            quantity,
            buy=buy,
            instrument=NO if mirrored else YES,
            tif=tif,
            expires_ms=8_000,
            post_only=post_only and tif in (TimeInForce.GTC, TimeInForce.GTD),
        )
    if kind == "cancel":
        return list(venue.exchange.cancel(f"o{step[1]}", "test", venue.now))
    return venue.wait(step[1])


@given(st.lists(STEPS, max_size=30), st.sampled_from((0, LATENCY)))
def test_never_more_than_asked_never_worse_than_the_limit(steps, latency):
    venue = Venue(latency)
    filled: dict[str, int] = {}
    over: dict[str, Ended] = {}
    for number, step in enumerate(steps):
        reports = play(venue, step, number)
        for report in reports:
            assert report.order not in over, "a report after the end"
            if isinstance(report, Executed):
                filled[report.order] = filled.get(report.order, 0) + report.quantity
                assert report.quantity > 0
                new = venue.sent[report.order]
                assert report.price <= new.price if new.buy else report.price >= new.price
                assert report.maker or not new.post_only
            elif isinstance(report, Ended):
                over[report.order] = report
                assert report.filled == filled.get(report.order, 0)
                assert (report.remaining == 0) == (report.reason is EndReason.FILLED)
    for name, working in venue.exchange.orders.items():
        assert working.filled == filled.get(name, 0) <= working.new.quantity
        assert working.remaining > 0
    for name, new in venue.sent.items():
        assert filled.get(name, 0) <= new.quantity
        if new.time_in_force is TimeInForce.FOK:
            assert filled.get(name, 0) in (0, new.quantity)
    if latency == 0:
        resting = (TimeInForce.GTC, TimeInForce.GTD)
        assert all(w.new.time_in_force in resting for w in venue.exchange.orders.values())


@given(st.lists(STEPS, max_size=30))
def test_takers_never_get_more_than_was_on_display(steps):
    """Between two changes of the book, all executions against a level stay within what it shows."""
    venue = Venue()
    spent: dict[tuple[bool, int], int] = {}
    for number, step in enumerate(steps):
        if step[0] in ("book", "quote"):
            spent.clear()
        reports = play(venue, step, number)
        view = View(venue.exchange.books.get(YES), venue.exchange.quotes.get(YES))
        for report in reports:
            if not isinstance(report, Executed) or report.maker:
                continue
            _, _, _, (buy, mirrored, _), _ = step
            asks = buy is not mirrored
            leg_price = ONE - report.price if mirrored else report.price
            key = (asks, leg_price)
            spent[key] = spent.get(key, 0) + report.quantity
            assert spent[key] <= view.shown(not asks, leg_price)


@given(st.lists(STEPS, max_size=30))
def test_resting_orders_share_what_was_traded(steps):
    venue = Venue()
    for number, step in enumerate(steps):
        reports = play(venue, step, number)
        if step[0] == "trade":
            volume = sum(r.quantity for r in reports if isinstance(r, Executed))
            sides = 2 if step[3] is None else 1
            assert volume <= sides * step[2] * ONE


@given(st.lists(STEPS, max_size=30), st.integers(0, 30))
def test_a_restored_exchange_goes_on_the_same(steps, cut):
    one, other = Venue(LATENCY), Venue(LATENCY)
    for number, step in enumerate(steps):
        if number == cut:
            copy = msgspec.msgpack.encode(other.exchange)
            other.exchange = msgspec.msgpack.decode(copy, type=Exchange)
        assert play(one, step, number) == play(other, step, number)
    assert one.exchange == other.exchange


@given(
    st.dictionaries(st.integers(1, 99), st.integers(1, 9), max_size=4), st.integers(1, 99), st.integers(1, 9)
)
def test_spent_never_exceeds_what_is_shown_after_a_refresh(asks, price, quantity):
    taken = Taken()
    taken.spend(False, price * CENT, quantity * ONE)
    rows = dict(sorted(asks.items()))
    view = View(Book(instrument=YES, at=0, counter=1, asks=levels(rows)))
    remembered = taken.refresh(view)
    assert taken.asks.get(price * CENT, 0) == min(quantity, asks.get(price, 0)) * ONE
    assert remembered == bool(taken.asks)
