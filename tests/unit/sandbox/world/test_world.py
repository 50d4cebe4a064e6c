"""The sandbox's world: the same each time, windows that roll, markets that settle, books that are right."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.exchange.matching_types import LimitOrder, OrderState
from libs.venues.kalshi import KALSHI
from libs.venues.manifold import MANIFOLD
from libs.venues.polymarket import POLYMARKET
from proto.feed import MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND, notional
from sandbox.accounts import Accounts, InsufficientFunds
from sandbox.world.candles import MINUTE_NS
from sandbox.world.events import (
    BookChanged,
    FillEvent,
    MarketMoved,
    OrderChange,
    OrderEvent,
    SpotTraded,
    TickChanged,
    Traded,
)
from sandbox.world.markets import VOID, MarketKind
from sandbox.world.order_entry import MarketClosed
from sandbox.world.past import HISTORY_MINUTES
from sandbox.world.venue_prices import PriceSource
from sandbox.world.world import World

START = 1_779_000_000 * SECOND


def world_of(seed=7, **more):
    return World(seed, START, **more)


def advance(world, seconds):
    asyncio.run(world.advance(world.at + round(seconds * SECOND)))


def told(world):
    """Everything a world tells, as text: what determinism is about."""
    lines: list[str] = []

    def hear(event):
        market = getattr(event, "market", None)
        name = type(event).__name__
        if isinstance(event, BookChanged | TickChanged):
            lines.append(f"{event.at} {name} {market.id} {getattr(event, 'changes', '')}")
        elif isinstance(event, MarketMoved):
            lines.append(f"{event.at} {market.id} {market.status} {market.strike} {market.result}")
        elif isinstance(event, Traded):
            lines.append(f"{event.at} {market.id} {event.match}")
        elif isinstance(event, SpotTraded):
            lines.append(f"{event.at} {event}")

    world.subscribe(hear)
    return lines


def market_of(world, venue, kind=MarketKind.UPDOWN, status=MarketStatus.OPEN, **wanted):
    return next(
        m
        for m in world.markets(venue)
        if m.kind is kind and m.status is status and all(getattr(m, k) == v for k, v in wanted.items())
    )


# ── determinism ─────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 2_000), min_size=1, max_size=4))
def test_the_same_seed_makes_the_same_world_however_time_is_cut(seed, cuts_ms):
    total = sum(cuts_ms) / 1000
    one, other = (world_of(seed, time_scale=30.0) for _ in range(2))
    first, second = told(one), told(other)
    advance(one, total)
    for cut in cuts_ms:
        advance(other, cut / 1000)
    assert first == second
    assert one.price.now == other.price.now


def test_another_seed_makes_another_world():
    one, other = world_of(1), world_of(2)
    first, second = told(one), told(other)
    advance(one, 2)
    advance(other, 2)
    assert first != second
    assert {m.id for m in one.markets(POLYMARKET)}.isdisjoint(m.id for m in other.markets(POLYMARKET))


def test_an_order_in_one_book_changes_nothing_in_another():
    quiet, busy = world_of(), world_of()
    first, second = told(quiet), told(busy)
    touched = market_of(busy, POLYMARKET, series="btc-updown-5m")
    for world in (quiet, busy):
        advance(world, 1)
    busy.place(
        touched, LimitOrder(order_id="x", owner="ann", outcome=0, side=Side.BUY, price=990_000, quantity=ONE)
    )
    for world in (quiet, busy):
        advance(world, 5)
    assert [line for line in first if touched.id not in line] == [
        line for line in second if touched.id not in line
    ]


# ── listing ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_series_has_one_window_open_and_the_next_listed():
    world = world_of(time_scale=15.0)
    for _ in range(8):
        advance(world, 11)
        for series in ("btc-updown-5m", "btc-updown-15m", "bitcoin-up-or-down", "bitcoin-range"):
            windows = {m.event_id: m.status for m in world.markets(POLYMARKET) if m.series == series}
            states = Counter(windows.values())
            assert states[MarketStatus.OPEN] == 1
            assert states[MarketStatus.LISTED] == 1
        for series in ("KXBTC15M", "KXBTC1H"):
            states = Counter(m.status for m in world.markets(KALSHI) if m.series == series)
            assert states[MarketStatus.OPEN] == states[MarketStatus.LISTED] == 1


def test_windows_from_the_start_have_their_whole_length_before_them():
    # Ten seconds before the hour every round window is about to end.
    start = START // (3600 * SECOND) * 3600 * SECOND + 3590 * SECOND
    world = World(7, start, windows_from_start=True)
    running = [
        m for venue in (POLYMARKET, KALSHI) for m in world.markets(venue) if m.status is MarketStatus.OPEN
    ]
    assert {m.open_ns for m in running} == {start - 50 * SECOND}
    assert min(m.close_ns for m in running) == start + 250 * SECOND
    advance(world, 300)
    again = [m for m in world.markets(POLYMARKET) if m.window_s == 300 and m.status is MarketStatus.OPEN]
    assert [m.open_ns for m in again] == [start + 250 * SECOND]


def test_ids_are_what_the_venues_make():
    world = world_of()
    for market in world.markets(POLYMARKET):
        assert len(set(market.tokens)) == 2
        zeros = ((1 << 64) - 1) << 40
        for i, token in enumerate(market.tokens):
            if market.version == "v2":
                raw = int(token).to_bytes(32)
                assert int(token) & zeros == 0
                assert raw[0] == 1
                assert raw[-1] == i
                assert market.id == "0x" + raw[:31].hex()
            else:
                assert int(token) & zeros
                assert len(market.id) == 66
    # 2026-05-17 06:40 UTC is 02:40 in New York; the window closes at 02:45.
    assert market_of(world, KALSHI, series="KXBTC15M").id == "KXBTC15M-26MAY170245-45"
    ids = [m.id for venue in (POLYMARKET, KALSHI, MANIFOLD) for m in world.markets(venue)]
    assert len(set(ids)) == len(ids)


def test_shortened_windows_have_ids_of_their_own():
    world = world_of(time_scale=60.0, venues=[KALSHI])
    advance(world, 120)
    tickers = [m.id for m in world.markets(KALSHI)]
    assert len(set(tickers)) == len(tickers) > 8


# ── life ────────────────────────────────────────────────────────────────────────────────────────────


def statuses(world):
    path: dict[str, list] = {}
    world.subscribe(
        lambda e: (
            path.setdefault(e.market.id, []).append(e.market.status) if isinstance(e, MarketMoved) else None
        )
    )
    return path


def test_markets_live_to_their_result():
    world = world_of(time_scale=30.0)
    path = statuses(world)
    running = {
        v: [m for m in world.markets(v) if m.close_ns < START + 60 * SECOND] for v in (POLYMARKET, KALSHI)
    }
    advance(world, 120)
    usual = [MarketStatus.CLOSED, MarketStatus.DETERMINED]
    for market in [m for markets in running.values() for m in markets]:
        disputed = [MarketStatus.DISPUTED] if market.disputes else []
        lived = [s for s in path[market.id] if s is not MarketStatus.OPEN]
        assert lived == [*usual, *disputed, MarketStatus.SETTLED]
        assert market.open_ns < market.close_ns <= market.closed_ns < market.determined_ns < market.settled_ns
        if market.kind is MarketKind.VOID:
            assert market.result == VOID
            assert [market.payout(0), market.payout(1)] == [ONE // 2, ONE // 2]
        else:
            assert market.payout(0) + market.payout(1) == ONE
        if market.kind is MarketKind.UPDOWN:
            assert (market.result == market.outcomes[0]) == (market.settlement_value >= market.strike)
        assert not list(market.book.orders())
    assert any(m.disputes for m in running[POLYMARKET])


def test_the_next_strike_is_what_settled_the_window_before():
    world = world_of(time_scale=90.0, venues=[KALSHI])
    advance(world, 80)
    windows = [m for m in world.markets(KALSHI) if m.series == "KXBTC15M" and m.settlement_value]
    assert len(windows) > 4
    for one, following in pairwise(windows):
        assert following.strike == one.settlement_value


def test_sources_disagree_a_little():
    world = world_of(venues=[])
    apart = set()
    for _ in range(10):
        advance(world, 5)
        oracle, index = (world.price.mean(s, 4) for s in (PriceSource.CHAINLINK, PriceSource.BRTI))
        apart.add(oracle != index)
        assert abs(oracle - index) < 60 * ONE
    assert True in apart


def test_one_range_of_an_event_pays():
    world = world_of(time_scale=120.0, venues=[POLYMARKET])
    advance(world, 75)
    events: dict[str, list] = {}
    for market in world.markets(POLYMARKET):
        if market.kind is MarketKind.NEG_RISK:
            events.setdefault(market.event_id, []).append(market)
    settled = [e for e in events.values() if all(m.status is MarketStatus.SETTLED for m in e)]
    assert len(settled) >= 3
    for event in settled:
        assert len(event) == 4
        assert [m.result for m in event].count("yes") == 1


def test_yes_prices_of_an_event_add_up_to_one():
    world = world_of()
    advance(world, 20)
    event = [
        m
        for m in world.markets(POLYMARKET)
        if m.kind is MarketKind.NEG_RISK and m.status is MarketStatus.OPEN
    ]
    mids = [sum(m.book.best()) / 2 for m in event]
    assert len(mids) == 4
    assert abs(sum(mids) - ONE) < 80_000


# ── books ───────────────────────────────────────────────────────────────────────────────────────────


def test_book_events_rebuild_the_book():
    world = world_of(time_scale=20.0)
    shown: dict[str, dict] = {}
    for venue in (POLYMARKET, KALSHI):
        for market in world.markets(venue):
            bids, asks = market.book.levels()
            shown[market.id] = {(Side.BUY, x.price): x.quantity for x in bids} | {
                (Side.SELL, x.price): x.quantity for x in asks
            }

    def hear(event):
        if isinstance(event, BookChanged):
            levels = shown.setdefault(event.market.id, {})
            for change in event.changes:
                levels[change.side, change.price] = change.quantity
                if not change.quantity:
                    del levels[change.side, change.price]

    world.subscribe(hear)
    for _ in range(20):
        advance(world, 2)
        for venue in (POLYMARKET, KALSHI):
            for market in world.markets(venue):
                bids, asks = market.book.levels()
                now = {(Side.BUY, x.price): x.quantity for x in bids} | {
                    (Side.SELL, x.price): x.quantity for x in asks
                }
                assert shown.get(market.id, {}) == now
                assert all(market.is_on_grid(price) for _, price in now)


def test_the_grid_becomes_finer_at_the_edge():
    world = world_of(time_scale=30.0, venues=[POLYMARKET])
    changes = []
    world.subscribe(lambda e: changes.append(e) if isinstance(e, TickChanged) else None)
    advance(world, 120)
    assert changes
    for change in changes:
        assert change.market.venue == POLYMARKET
        assert (change.old, change.new) == (10_000, 1_000)
    assert len({c.market.id for c in changes}) == len(changes)


def test_updates_come_at_the_asked_rate():
    counts = {}
    for rate in (2.0, 20.0):
        world = world_of(updates_per_s=rate)
        market = market_of(world, POLYMARKET, series="btc-updown-15m")
        seen: list = []
        world.subscribe(
            lambda e, m=market, s=seen: s.append(e) if isinstance(e, BookChanged) and e.market is m else None
        )
        advance(world, 60)
        counts[rate] = len(seen) / 60
    assert 1.0 < counts[2.0] < 3.0
    assert 12.0 < counts[20.0] < 28.0


# ── clients ─────────────────────────────────────────────────────────────────────────────────────────


def order(order_id, side=Side.BUY, price=500_000, quantity=10, outcome=0, owner="ann", **more):
    return LimitOrder(
        order_id=order_id,
        owner=owner,
        outcome=outcome,
        side=side,
        price=price,
        quantity=quantity * ONE,
        **more,
    )


def client_world(venue=POLYMARKET, **more):
    world = world_of(**more)
    accounts = Accounts(world)
    account = accounts.open(venue, "ann", 1_000 * ONE)
    events: list = []
    world.subscribe(lambda e: events.append(e) if isinstance(e, OrderEvent | FillEvent) else None)
    return world, accounts, account, events


def test_a_buy_pays_the_makers_price_and_is_told_in_order():
    world, _, account, events = client_world()
    market = market_of(world, POLYMARKET)
    advance(world, 1)
    world.order_entry.fees[POLYMARKET] = lambda m, e: 1_000
    ask = market.book.best()[1]
    done = world.place(market, order("1", price=min(ask + 50_000, 990_000)))
    assert done.state is OrderState.FILLED
    assert isinstance(events[0], OrderEvent)
    assert [e.change for e in events if isinstance(e, OrderEvent)] == [
        OrderChange.PLACED,
        OrderChange.MATCHED,
    ]
    fills = [e for e in events if isinstance(e, FillEvent)]
    spent = sum(notional(f.execution.price, f.execution.quantity) + f.fee for f in fills)
    assert account.cash == 1_000 * ONE - spent
    assert fills[0].execution.price == ask
    assert account.held(market, 0) == 10 * ONE
    assert account.fees_paid == 1_000 * len(fills)
    assert not account.open


def test_a_resting_order_reserves_and_is_filled_when_the_market_comes():
    world, _, account, events = client_world(time_scale=15.0)
    market = market_of(world, POLYMARKET, series="bitcoin-up-or-down")
    advance(world, 1)
    bid, ask = market.book.best()
    place = order("1", price=bid + 10_000 if bid + 10_000 < ask else bid)
    account.check(market, place)
    world.place(market, place)
    assert account.reserved == notional(place.price, place.quantity)
    advance(world, 60)
    fills = [e for e in events if isinstance(e, FillEvent)]
    assert fills
    assert all(f.execution.maker for f in fills)
    assert account.cash == 1_000 * ONE - sum(notional(f.execution.price, f.execution.quantity) for f in fills)


def test_more_than_there_is_is_refused():
    world, _, account, _ = client_world()
    market = market_of(world, POLYMARKET)
    account.check(market, order("1", price=500_000, quantity=2_000))
    with pytest.raises(InsufficientFunds):
        account.check(market, order("1", price=500_000, quantity=2_001))
    with pytest.raises(InsufficientFunds):
        account.check(market, order("1", price=500_000, quantity=2_000), fee=1)
    with pytest.raises(InsufficientFunds):
        account.check(market, order("1", side=Side.SELL, quantity=1))
    world.place(market, order("low", price=10_000, quantity=1_000))
    with pytest.raises(InsufficientFunds):
        account.check(market, order("1", price=500_000, quantity=1_999))


def test_kalshi_nets_yes_against_no():
    world, _, account, _ = client_world(KALSHI)
    market = market_of(world, KALSHI)
    account.move(market, 0, 10 * ONE, -4 * ONE)
    account.check(market, order("c", outcome=1, price=990_000, quantity=10))
    world.place(market, order("c", outcome=1, price=10_000, quantity=10))
    assert account.reserved == 0
    account.move(market, 1, 4 * ONE, -2 * ONE)
    assert (account.held(market, 0), account.held(market, 1)) == (6 * ONE, 0)
    assert account.cash == 998 * ONE


def test_settlement_pays_and_redeems():
    world, accounts, account, _ = client_world(time_scale=30.0)
    accounts.redeem_after_s[POLYMARKET] = None
    market = market_of(world, POLYMARKET, series="btc-updown-5m")
    account.move(market, 0, 10 * ONE, 0)
    account.move(market, 1, 4 * ONE, 0)
    advance(world, 40)
    assert market.status is MarketStatus.SETTLED
    assert account.cash == 1_000 * ONE
    payouts = accounts.redeem(account, market)
    won = 10 if market.result == market.outcomes[0] else 4
    assert account.cash == (1_000 + won) * ONE
    assert sum(notional(p.price, p.quantity) for p in payouts) == won * ONE
    assert accounts.redeem(account, market) == []


def test_orders_end_with_the_market():
    world, _, account, events = client_world(time_scale=30.0)
    market = market_of(world, POLYMARKET, series="btc-updown-5m")
    world.place(market, order("1", price=10_000))
    advance(world, 20)
    with pytest.raises(MarketClosed):
        world.place(market, order("2"))
    last = [e for e in events if isinstance(e, OrderEvent)][-1]
    assert (last.change, last.reason) == (OrderChange.CANCELLED, "market_resolved")
    assert account.reserved == 0


def test_good_till_date_ends_on_time():
    world, _, _, events = client_world()
    market = market_of(world, POLYMARKET)
    due = world.at + 3 * SECOND
    world.place(market, order("1", price=10_000, time_in_force=TimeInForce.GTD, expires_at=due))
    advance(world, 2.9)
    assert market.book.order("1") is not None
    advance(world, 0.1)
    assert market.book.order("1") is None
    assert (events[-1].change, events[-1].reason) == (OrderChange.CANCELLED, "expired")


# ── Bitcoin ─────────────────────────────────────────────────────────────────────────────────────────


def test_candles_are_what_the_trades_were():
    world = world_of()
    exchange = world.spot[PriceSource.BINANCE]
    trades = []
    world.subscribe(
        lambda e: trades.append(e) if isinstance(e, SpotTraded) and e.source is PriceSource.BINANCE else None
    )
    advance(world, 150)
    candles = list(exchange.candles)
    assert len(candles) >= HISTORY_MINUTES + 2
    assert all(b.open_ns - a.open_ns == MINUTE_NS for a, b in pairwise(candles))
    assert all(c.low <= min(c.open, c.close) <= max(c.open, c.close) <= c.high for c in candles)
    # History joins the present: no jump where one ends and the other begins.
    assert abs(candles[HISTORY_MINUTES].open - candles[HISTORY_MINUTES - 1].close) < 200 * ONE
    for candle in candles[HISTORY_MINUTES:]:
        inside = [t for t in trades if candle.open_ns <= t.at < candle.open_ns + MINUTE_NS]
        if not inside:
            continue
        assert candle.trades == len(inside)
        assert candle.high == max(t.price for t in inside)
        assert candle.low == min(t.price for t in inside)
        assert candle.close == inside[-1].price
        assert candle.volume == sum(t.quantity for t in inside)
        assert (candle.first_id, candle.last_id) == (inside[0].trade_id, inside[-1].trade_id)
