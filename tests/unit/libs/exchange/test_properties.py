"""Properties of the matching core under any course of books, trades and orders."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.contract.plain import decode_state, encode_state
from libs.exchange.book import Taken, View
from libs.exchange.exchange import PaperExchange
from libs.exchange.orders import Ended, EndReason, Executed, Report
from proto.feed import Book, Side
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE
from tests.support.exchange_world import CENT, LATENCY, NO, YES, Venue, levels, listing

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


DELAYS = st.sampled_from((0, 10, 3_000))
"""How long the market holds takers back."""


@given(st.lists(STEPS, max_size=30), st.sampled_from((0, LATENCY)), DELAYS)
def test_never_more_than_asked_never_worse_than_the_limit(steps, latency, delay):
    venue = Venue(latency)
    venue.exchange.market(listing(taker_delay_ms=delay), venue.now)
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
    if latency == delay == 0:
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


@given(st.lists(STEPS, max_size=30), st.integers(0, 30), DELAYS)
def test_a_restored_exchange_goes_on_the_same(steps, cut, delay):
    one, other = Venue(LATENCY), Venue(LATENCY)
    for venue in (one, other):
        venue.exchange.market(listing(taker_delay_ms=delay), venue.now)
    for number, step in enumerate(steps):
        if number == cut:
            copy = encode_state(other.exchange)
            other.exchange = decode_state(copy, PaperExchange)
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
