"""The gateway trades against the sandbox: orders, fills, look-ups, settlements, and what can go wrong."""

import asyncio
import logging

import httpx
import msgspec
import pytest

from libs.venues.errors import BadAnswer, NotSent, OutcomeUnknown, RateLimited, Refused
from libs.venues.gateway import (
    FillReport,
    OrderReport,
    RemembersOrders,
    SentOrder,
    StreamState,
    TradeStatus,
)
from libs.venues.kalshi import limits
from libs.venues.kalshi.client import KalshiClient
from libs.venues.kalshi.gateway import KalshiGateway
from libs.venues.kalshi.options import KalshiOptions
from libs.venues.kalshi.orders import restate
from libs.venues.kalshi.rest import Created
from proto.feed import MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND, notional
from proto.venue import AckStatus
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.kalshi.server import CASH
from tests.integration.kalshi_sandbox import Venue, take, until, venue

pytestmark = pytest.mark.asyncio


def sent(prepared, new, order_id: str = "") -> SentOrder:
    return SentOrder(
        order=new.order,
        client_order_id=prepared.client_order_id,
        instrument=new.instrument,
        venue_order_id=order_id,
    )


async def place(v: Venue, new):
    prepared = v.gateway.prepare(new)
    report = await v.gateway.submit(prepared)
    return report, sent(prepared, new, report.venue_order_id)


def forgetful(v: Venue) -> KalshiGateway:
    """The same account after a restart: a gateway that remembers nothing."""
    urls = v.sandbox.urls["kalshi"]
    return KalshiGateway(
        v.credentials,
        KalshiOptions(rest_url=urls["rest"], websocket_url=urls["websocket"], tier="premier"),
    )


# ── orders ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("outcome", ["yes", "no"])
async def test_order_rests_is_found_and_cancelled(outcome: str) -> None:
    async with venue() as v:
        new = v.new_order(v.market, outcome, price=300_000)
        report, order = await place(v, new)
        assert (report.status, report.filled, report.remaining) == (AckStatus.ACCEPTED, 0, 10 * ONE)
        assert report.instrument == new.instrument
        assert v.market.book.total(Side.BUY, 300_000, 0 if outcome == "yes" else 1) >= 10 * ONE
        by_client_id = msgspec.structs.replace(order, venue_order_id="")
        assert await v.gateway.look_up(order) == await v.gateway.look_up(by_client_id)
        [resting] = await v.gateway.open_orders()
        assert (resting.venue_order_id, resting.instrument) == (report.venue_order_id, new.instrument)
        await v.gateway.cancel(by_client_id)
        gone = await v.gateway.look_up(order)
        assert gone is not None
        assert (gone.status, gone.remaining) == (AckStatus.CANCELED, 0)
        assert await v.gateway.open_orders() == []
        # An order that is gone already is fine.
        await v.gateway.cancel(order)


async def test_a_batch_places_each_order_for_itself_and_cancels_them_together() -> None:
    async with venue() as v:
        good = [v.gateway.prepare(v.new_order(v.market, "yes", price=p)) for p in (200_000, 300_000)]
        dear = v.gateway.prepare(v.new_order(v.market, "no", price=400_000, quantity=10_000_000 * ONE))
        *placed, refused = await v.gateway.client.create_orders([one.body for one in (*good, dear)])
        assert [item.client_order_id for item in placed] == [one.client_order_id for one in good]
        assert refused.error is not None
        resting = {order.client_order_id for order in await v.gateway.open_orders()}
        assert resting == {one.client_order_id for one in good}
        await v.gateway.cancel_all()
        assert await v.gateway.open_orders() == []


@pytest.mark.parametrize(("outcome", "index"), [("yes", 0), ("no", 1)])
async def test_partial_fill_position_fee_and_money(outcome: str, index: int) -> None:
    """Four of ten contracts at the maker's price, whichever outcome: position, fee and money agree."""
    async with venue() as v:
        market = v.market
        v.empty(market)
        v.other_side(market, 1 - index, 620_000, 4)
        new = v.new_order(market, outcome, price=400_000)
        report, order = await place(v, new)
        assert (report.filled, report.remaining) == (4 * ONE, 6 * ONE)
        [fill] = await v.gateway.fills(0)
        assert (fill.instrument, fill.side, fill.price, fill.quantity) == (
            new.instrument, Side.BUY, 380_000, 4 * ONE,
        )  # fmt: skip
        # 0.07 × 4 × 0.38 × 0.62 = 0.065968, rounded up to 0.0001.
        assert (fill.fee, fill.maker, fill.status) == (66_000, False, TradeStatus.CONFIRMED)
        assert fill.client_order_id == order.client_order_id
        assert await v.gateway.positions() == {new.instrument: 4 * ONE}
        spent = notional(380_000, 4 * ONE) + fill.fee + notional(400_000, 6 * ONE)
        assert (await v.gateway.balance()).available == CASH - spent
        # The rest is taken by somebody else: our order was there first, and pays no fee.
        v.other_side(market, 1 - index, 600_000, 6)
        maker = (await v.gateway.fills(0))[-1]
        assert (maker.price, maker.quantity, maker.fee, maker.maker) == (400_000, 6 * ONE, 0, True)
        done = await v.gateway.look_up(order)
        assert done is not None
        assert (done.status, done.filled, done.remaining) == (AckStatus.ACCEPTED, 10 * ONE, 0)


@pytest.mark.parametrize(("outcome", "index"), [("yes", 0), ("no", 1)])
async def test_sale_of_what_is_held_closes_it(outcome: str, index: int) -> None:
    """Pain point 8: selling NO closes NO. In our words a sale at its own price, at the venue a bid for YES."""
    async with venue() as v:
        market = v.market
        v.empty(market)
        v.other_side(market, 1 - index, 600_000, 10)
        await place(v, v.new_order(market, outcome, price=400_000))
        assert await v.gateway.positions() == {f"kalshi:{market.id}:{outcome}": 10 * ONE}
        v.other_side(market, index, 450_000, 10)
        sale = v.new_order(market, outcome, side=Side.SELL, price=450_000, reduce_only=True)
        report, _ = await place(v, sale)
        assert report.filled == 10 * ONE
        assert await v.gateway.positions() == {}
        fill = (await v.gateway.fills(0))[-1]
        assert (fill.instrument, fill.side, fill.price) == (sale.instrument, Side.SELL, 450_000)
        gain = notional(50_000, 10 * ONE)
        fees = sum(f.fee for f in await v.gateway.fills(0))
        assert (await v.gateway.balance()).available == CASH + gain - fees
        # A reduce-only order opens nothing.
        with pytest.raises(Refused) as refused:
            await place(v, v.new_order(market, outcome, side=Side.SELL, price=450_000, reduce_only=True))
        assert refused.value.code == "reduce_only_no_position"


@pytest.mark.parametrize(
    ("time_in_force", "contracts", "expected"),
    [
        (TimeInForce.IOC, 4, (AckStatus.CANCELED, 4 * ONE)),
        (TimeInForce.IOC, 0, (AckStatus.CANCELED, 0)),
        (TimeInForce.IOC, 10, (AckStatus.ACCEPTED, 10 * ONE)),
        (TimeInForce.FOK, 10, (AckStatus.ACCEPTED, 10 * ONE)),
    ],
)
async def test_orders_that_do_not_rest(time_in_force, contracts, expected) -> None:
    async with venue() as v:
        v.empty(v.market)
        if contracts:
            v.other_side(v.market, 1, 600_000, contracts)
        report, order = await place(v, v.new_order(v.market, "yes", time_in_force=time_in_force))
        found = await v.gateway.look_up(order)
        assert found is not None
        if expected[1] == 10 * ONE:
            assert (report.status, report.filled, report.remaining) == (*expected, 0)
            assert (found.status, found.filled, found.remaining) == (*expected, 0)
        else:
            assert (found.status, found.filled, found.remaining) == (*expected, 0)
            assert (report.filled, report.remaining) == (expected[1], 0)
        assert await v.gateway.open_orders() == []


async def test_fill_or_kill_that_cannot_be_filled_is_refused_for_good() -> None:
    """It is a 409 like a duplicate, and is not taken for one."""
    async with venue() as v:
        v.empty(v.market)
        with pytest.raises(Refused) as refused:
            await place(v, v.new_order(v.market, "yes", time_in_force=TimeInForce.FOK))
        assert (refused.value.status, refused.value.code) == (
            409, "fill_or_kill_insufficient_resting_volume",
        )  # fmt: skip


async def test_post_only_that_would_cross_and_money_that_is_not_there() -> None:
    async with venue() as v:
        with pytest.raises(Refused) as refused:
            await place(v, v.new_order(v.market, "yes", price=900_000, post_only=True))
        assert refused.value.code == "post_only_cross"
        with pytest.raises(Refused) as refused:
            await place(v, v.new_order(v.market, "yes", quantity=100_000 * ONE))
        assert refused.value.code == "insufficient_balance"
        assert v.server.exchange.records == []


async def test_good_till_date_order_expires() -> None:
    async with venue() as v:
        new = v.new_order(
            v.market, "yes", price=10_000, time_in_force=TimeInForce.GTD,
            expires_at=v.sandbox.world.now() + 3 * SECOND,
        )  # fmt: skip
        _, order = await place(v, new)
        await v.advance(4)
        found = await v.gateway.look_up(order)
        assert found is not None
        assert found.status is AckStatus.CANCELED


async def test_price_off_the_grid_never_leaves() -> None:
    async with venue() as v:
        with pytest.raises(Refused) as refused:
            v.gateway.prepare(v.new_order(v.market, "yes", price=405_000))
        assert refused.value.code == "invalid_price"
        v.gateway.prepare(v.new_order(v.market, "no", price=95_000))
        assert len(v.sandbox.arrivals) == 0


async def test_preparing_twice_is_the_same_order_and_the_venue_takes_it_once() -> None:
    async with venue() as v:
        new = v.new_order(v.market, "yes", price=300_000)
        first, second = v.gateway.prepare(new), forgetful(v).prepare(new)
        assert first.client_order_id == second.client_order_id
        report = await v.gateway.submit(first)
        # 409: it is there already. So what is there is told, and nothing is placed.
        again = await v.gateway.submit(first)
        assert again.venue_order_id == report.venue_order_id
        assert len(v.server.exchange.records) == 1


async def test_cancel_all_takes_everything_in_batches(monkeypatch) -> None:
    monkeypatch.setattr("libs.venues.kalshi.gateway.CANCELS_AT_ONCE_MAX", 2)
    async with venue() as v:
        for i in range(5):
            await place(v, v.new_order(v.market, "no" if i % 2 else "yes", price=200_000 + i * 10_000))
        before = len(v.sandbox.arrivals.of("kalshi", "cancel"))
        await v.gateway.cancel_all()
        assert await v.gateway.open_orders() == []
        assert len(v.sandbox.arrivals.of("kalshi", "cancel")) - before == 3
        await v.gateway.cancel_all()


# ── unknown outcomes ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rule", "error", "there"),
    [
        (FaultRule(kind=FaultKind.ACCEPT_THEN_TIMEOUT, operation="order", seconds=0.2), OutcomeUnknown, True),
        (
            FaultRule(kind=FaultKind.RESET_CONNECTION, operation="order", carried_out=True),
            OutcomeUnknown,
            True,
        ),
        (FaultRule(kind=FaultKind.RESET_CONNECTION, operation="order"), OutcomeUnknown, False),
        (FaultRule(kind=FaultKind.STATUS, operation="order", status=502, body="html"), OutcomeUnknown, False),
        (
            FaultRule(kind=FaultKind.STATUS, operation="order", status=500, carried_out=True),
            OutcomeUnknown,
            True,
        ),
        (FaultRule(kind=FaultKind.STATUS, operation="order", status=503), OutcomeUnknown, False),
        (
            FaultRule(kind=FaultKind.STATUS, operation="order", status=400, body="empty"),
            OutcomeUnknown,
            False,
        ),
        (FaultRule(kind=FaultKind.STATUS, operation="order", status=400), Refused, False),
        (FaultRule(kind=FaultKind.RATE_LIMIT, operation="order"), RateLimited, False),
        (FaultRule(kind=FaultKind.RESTART_WINDOW, operation="order"), OutcomeUnknown, False),
    ],
)
async def test_what_an_order_without_an_answer_means(rule, error, there) -> None:
    async with venue() as v:
        v.sandbox.faults.set(rule)
        new = v.new_order(v.market, "yes", price=300_000)
        prepared = v.gateway.prepare(new)
        with pytest.raises(error):
            await v.gateway.submit(prepared)
        # Never sent again by itself.
        assert len(v.sandbox.arrivals.of("kalshi", "order")) == 1
        v.sandbox.faults.clear()
        found = await v.gateway.look_up(sent(prepared, new))
        assert (found is not None) == there


async def test_order_that_appears_late_is_found_then() -> None:
    async with venue() as v:
        v.sandbox.faults.set(FaultRule(kind=FaultKind.APPEAR_LATE, operation="order", seconds=0.3))
        new = v.new_order(v.market, "no", price=300_000)
        prepared = v.gateway.prepare(new)
        submitting = asyncio.create_task(v.gateway.submit(prepared))
        await until(lambda: len(v.sandbox.arrivals.of("kalshi", "order")) == 1)
        assert await v.gateway.look_up(sent(prepared, new)) is None
        await until(lambda: bool(v.server.exchange.records))
        found = await v.gateway.look_up(sent(prepared, new))
        assert found is not None
        assert found.instrument == new.instrument
        submitting.cancel()
        await asyncio.gather(submitting, return_exceptions=True)


async def test_retired_endpoint_that_answers_200_proves_nothing() -> None:
    """Pain point 17: the old order endpoint answers 200 and places nothing."""
    async with venue() as v:
        with pytest.raises(OutcomeUnknown):
            await v.gateway.client._effect("POST", "/portfolio/orders", b"{}", Created)


async def test_venue_that_is_not_there() -> None:
    async with venue() as v:
        new = v.new_order(v.market, "yes")
        await v.sandbox.stop()
        with pytest.raises(NotSent):
            await v.gateway.submit(v.gateway.prepare(new))


async def test_budget_of_the_venue_is_enforced_and_ours_keeps_below_it() -> None:
    async with venue() as v:
        v.server.budgets.tier = "basic"
        v.server.budgets._buckets.clear()
        # The venue says no, with no word on when to come again.
        async with httpx.AsyncClient(trust_env=False) as http:
            url = v.sandbox.urls["kalshi"]["rest"] + "/exchange/status"
            await http.get(url)
            for bucket in v.server.budgets._buckets.values():
                bucket.rate_per_s = 0.001  # a busy machine asks no faster than the budget fills up
            answers = [await http.get(url) for _ in range(45)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].json() == {"error": "too many requests"}
        assert "retry-after" not in refused[0].headers
        v.server.budgets._buckets.clear()
        careful = KalshiClient(v.sandbox.urls["kalshi"]["rest"], buckets=limits.buckets("basic"))
        for _ in range(36):
            await careful.exchange_status()
        assert careful._http.retries == 0
        await careful.close()


# ── restarts, settlements, lists ────────────────────────────────────────────────────────────────────


async def test_gateway_that_remembers_nothing_learns_everything_again() -> None:
    async with venue() as v:
        market = v.market
        v.empty(market)
        v.other_side(market, 1, 600_000, 10)
        await place(v, v.new_order(market, "yes", price=400_000))
        v.other_side(market, 0, 450_000, 4)
        sale = v.new_order(market, "yes", side=Side.SELL, price=450_000)
        report, order = await place(v, sale)
        fresh = forgetful(v)
        # The venue speaks of a sale of YES as a purchase of NO: the same fill, told the other way round.
        told = (await fresh.fills(0))[-1]
        assert (told.instrument, told.side, told.price) == (f"kalshi:{market.id}:no", Side.BUY, 550_000)
        assert told.client_order_id == order.client_order_id
        [mine] = [f for f in await v.gateway.fills(0) if f.trade_id == told.trade_id]
        assert restate(told, sale.instrument) == mine
        # Once it was asked about the order, it knows what the order was meant for.
        found = await fresh.look_up(order)
        assert found is not None
        assert (found.instrument, found.filled, found.remaining) == (sale.instrument, 4 * ONE, 6 * ONE)
        assert (await fresh.fills(0))[-1] == mine
        assert [o.instrument for o in await fresh.open_orders()] == [sale.instrument]
        await fresh.cancel(order)
        assert await fresh.open_orders() == []
        assert report.venue_order_id == found.venue_order_id
        await fresh.close()


async def test_fills_of_before_a_restart_are_told_as_they_were_meant() -> None:
    """Kalshi says only that YES was bought: that a NO was sold by it is remembered by who tells the gateway."""
    async with venue() as v:
        market = v.market
        v.empty(market)
        v.other_side(market, 0, 600_000, 10)
        await place(v, v.new_order(market, "no"))
        v.other_side(market, 1, 450_000, 10)
        _, order = await place(v, v.new_order(market, "no", side=Side.SELL, price=440_000))
        expected = await v.gateway.fills(0)
        assert [(fill.side, fill.instrument) for fill in expected] == [
            (Side.BUY, order.instrument),
            (Side.SELL, order.instrument),
        ]
        gateway = forgetful(v)
        assert isinstance(gateway, RemembersOrders)
        gateway.remember(order)
        assert (await gateway.fills(0))[1] == expected[1]
        await gateway.close()


async def test_order_nobody_knows_is_none_and_another_ones_id_is_refused() -> None:
    async with venue() as v:
        new = v.new_order(v.market, "yes", price=300_000)
        prepared = v.gateway.prepare(new)
        assert await v.gateway.look_up(sent(prepared, new)) is None
        assert await v.gateway.look_up(sent(prepared, new, "00000000-0000-4000-8000-000000000000")) is None
        await v.gateway.cancel(sent(prepared, new))
        report, _ = await place(v, v.new_order(v.market, "yes", price=310_000))
        with pytest.raises(BadAnswer):
            await v.gateway.look_up(sent(prepared, new, report.venue_order_id))


@pytest.mark.parametrize("outcome", ["yes", "no"])
async def test_settlement_pays_both_instruments_and_the_money_is_there(outcome: str) -> None:
    async with venue() as v:
        market = v.market
        v.empty(market)
        v.other_side(market, 0 if outcome == "no" else 1, 600_000, 10)
        await place(v, v.new_order(market, outcome, price=400_000))
        _, resting = await place(v, v.new_order(market, outcome, price=100_000))
        start = v.sandbox.world.now()
        await v.advance(60)
        # Closed: nothing can be placed or canceled, and that is no error of a cancel.
        with pytest.raises(Refused) as refused:
            await place(v, v.new_order(market, outcome))
        assert refused.value.code == "market_inactive"
        await v.gateway.cancel(resting)
        gone = await v.gateway.look_up(resting)
        assert gone is not None
        assert gone.status is AckStatus.CANCELED
        await v.advance(30)
        assert market.status is MarketStatus.SETTLED
        reports = await v.gateway.settlements(start)
        assert {r.instrument: r.price for r in reports} == {
            f"kalshi:{market.id}:{name}": ONE if market.result == name else 0 for name in ("yes", "no")
        }
        assert await v.gateway.settlements(reports[0].at + 1) == []
        assert await v.gateway.positions() == {}
        [fill] = await v.gateway.fills(0)
        won = 10 * ONE if market.result == outcome else 0
        assert (await v.gateway.balance()).available == CASH - notional(400_000, 10 * ONE) - fill.fee + won


async def test_lists_come_whole_or_not_at_all(monkeypatch) -> None:
    monkeypatch.setattr("libs.venues.kalshi.client.ACCOUNT_PAGE_ROWS", 2)
    async with venue() as v:
        for i in range(5):
            await place(v, v.new_order(v.market, "yes", price=200_000 + i * 10_000))
        assert len(await v.gateway.open_orders()) == 5
        monkeypatch.setattr("libs.venues.kalshi.client.PAGES_MAX", 2)
        with pytest.raises(BadAnswer):
            await v.gateway.open_orders()


async def test_money_is_per_shard() -> None:
    async with venue() as v:
        assert (await v.gateway.balance()).available == CASH
        v.gateway._shards = {0}
        assert (await v.gateway.balance()).available == 0


# ── the user stream ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("outcome", "index"), [("yes", 0), ("no", 1)])
async def test_stream_tells_orders_and_fills_with_their_exact_fee(outcome: str, index: int) -> None:
    async with venue() as v:
        market = v.market
        v.empty(market)
        events = v.gateway.events()
        assert await take(events, lambda e: e is StreamState.CONNECTED) == [StreamState.CONNECTED]
        new = v.new_order(market, outcome, price=400_000)
        report, _ = await place(v, new)
        [accepted] = await take(events, lambda e: isinstance(e, OrderReport))
        assert (accepted.venue_order_id, accepted.instrument, accepted.remaining) == (
            report.venue_order_id, new.instrument, 10 * ONE,
        )  # fmt: skip
        v.other_side(market, 1 - index, 600_000, 4)
        seen = await take(events, lambda e: isinstance(e, OrderReport))
        [fill] = [e for e in seen if isinstance(e, FillReport)]
        assert [fill] == list(await v.gateway.fills(0))
        assert (fill.side, fill.price, fill.quantity, fill.maker) == (Side.BUY, 400_000, 4 * ONE, True)
        assert seen[-1].filled == 4 * ONE
        await v.gateway.cancel_all()
        [cancelled] = await take(events, lambda e: isinstance(e, OrderReport))
        assert (cancelled.status, cancelled.remaining) == (AckStatus.CANCELED, 0)
        await events.aclose()


async def test_stream_says_when_it_lost_and_regained_continuity() -> None:
    async with venue() as v:
        events = v.gateway.events()
        await take(events, lambda e: e is StreamState.CONNECTED)
        v.sandbox.faults.set(FaultRule(kind=FaultKind.CLOSE_SOCKET, operation="user_socket", count=1))
        reading = asyncio.create_task(take(events, lambda e: e is StreamState.CONNECTED))
        await place(v, v.new_order(v.market, "yes", price=300_000))
        assert await reading == [StreamState.DISCONNECTED, StreamState.CONNECTED]
        # What happened meanwhile is asked for.
        assert len(await v.gateway.open_orders()) == 1
        await events.aclose()


async def test_fill_told_twice_is_one_fill_by_its_key() -> None:
    async with venue() as v:
        market = v.market
        v.empty(market)
        events = v.gateway.events()
        await take(events, lambda e: e is StreamState.CONNECTED)
        v.sandbox.faults.set(FaultRule(kind=FaultKind.DUPLICATE_FILL, operation="fill"))
        v.other_side(market, 1, 600_000, 10)
        await place(v, v.new_order(market, "yes"))
        seen = await take(events, lambda e: isinstance(e, OrderReport) and e.remaining == 0)
        fills = [e for e in seen if isinstance(e, FillReport)]
        assert len(fills) == 2
        assert len({(f.trade_id, f.venue_order_id) for f in [*fills, *await v.gateway.fills(0)]}) == 1
        await events.aclose()


async def test_fill_of_more_than_was_ordered_is_told_as_it_is() -> None:
    """Nothing is cut off to fit: whoever keeps the books must see it."""
    async with venue() as v:
        market = v.market
        v.empty(market)
        v.sandbox.faults.set(FaultRule(kind=FaultKind.OVER_FILL, operation="fill", amount="0.01", count=1))
        v.other_side(market, 1, 600_000, 10)
        report, order = await place(v, v.new_order(market, "yes"))
        [fill] = await v.gateway.fills(0)
        assert report.filled == fill.quantity == 10 * ONE + 10_000
        found = await v.gateway.look_up(order)
        assert found is not None
        assert (found.filled, found.remaining) == (10 * ONE + 10_000, 0)
        assert await v.gateway.positions() == {order.instrument: 10 * ONE + 10_000}


async def test_fill_that_is_told_before_the_order_is_answered() -> None:
    async with venue() as v:
        market = v.market
        v.empty(market)
        events = v.gateway.events()
        await take(events, lambda e: e is StreamState.CONNECTED)
        v.sandbox.faults.set(FaultRule(kind=FaultKind.FILL_BEFORE_ACK, operation="fill"))
        v.other_side(market, 1, 600_000, 10)
        new = v.new_order(market, "yes")
        prepared = v.gateway.prepare(new)
        submitting = asyncio.create_task(v.gateway.submit(prepared))
        seen = await take(events, lambda e: isinstance(e, FillReport))
        assert seen[-1].client_order_id == prepared.client_order_id
        assert (await submitting).filled == 10 * ONE
        await events.aclose()


async def test_fill_that_rest_does_not_know_makes_the_desk_ask(monkeypatch, caplog) -> None:
    monkeypatch.setattr("libs.venues.kalshi.user_events.FILL_PAUSE_S", 0.001)
    async with venue() as v:
        events = v.gateway.events()
        await take(events, lambda e: e is StreamState.CONNECTED)
        report, _ = await place(v, v.new_order(v.market, "yes", price=300_000))
        await take(events, lambda e: isinstance(e, OrderReport))
        body = {"trade_id": "ghost", "order_id": report.venue_order_id, "market_ticker": v.market.id}
        with caplog.at_level(logging.WARNING):
            v.server.stream.tell_owner("kalshi-sandbox", "fill", body)
            assert await take(events, lambda e: e is StreamState.CONNECTED) == [
                StreamState.DISCONNECTED, StreamState.CONNECTED,
            ]  # fmt: skip
        assert "ghost" in caplog.text
        await events.aclose()


# ── the venue's own brake ───────────────────────────────────────────────────────────────────────────


async def test_order_group_cancels_everything_once_too_much_fills() -> None:
    async with venue(group_contracts_limit=5) as v:
        market = v.market
        v.empty(market)
        group = v.gateway.group_id
        assert group is not None
        await place(v, v.new_order(market, "yes", price=400_000))
        _, other = await place(v, v.new_order(market, "no", price=300_000))
        v.other_side(market, 1, 600_000, 5)
        await v.advance(0.1)
        assert len(await v.gateway.open_orders()) == 2
        v.other_side(market, 1, 600_000, 1)
        await v.advance(0.1)
        assert await v.gateway.open_orders() == []
        assert not (await v.gateway.client.group(group)).is_auto_cancel_enabled
        with pytest.raises(Refused) as refused:
            await place(v, v.new_order(market, "no", price=310_000))
        assert refused.value.code == "order_group_triggered"
        await v.gateway.reset_group()
        await place(v, v.new_order(market, "no", price=320_000))
        gone = await v.gateway.look_up(other)
        assert gone is not None
        assert gone.status is AckStatus.CANCELED


async def test_group_is_triggered_by_hand_and_found_again_after_a_restart() -> None:
    async with venue(group_contracts_limit=50) as v:
        await place(v, v.new_order(v.market, "yes", price=300_000))
        await v.gateway.trigger_group()
        assert await v.gateway.open_orders() == []
        urls = v.sandbox.urls["kalshi"]
        again = KalshiGateway(
            v.credentials,
            KalshiOptions(
                rest_url=urls["rest"],
                websocket_url=urls["websocket"],
                tier="premier",
                group_contracts_limit=50,
            ),
        )
        await again.start()
        assert again.group_id == v.gateway.group_id
        assert len(await again.client.groups()) == 1
        assert (await again.client.group(str(again.group_id))).is_auto_cancel_enabled
        await again.close()


async def test_secrets_do_not_show() -> None:
    async with venue() as v:
        shown = f"{v.gateway!r} {v.credentials!r} {vars(v.gateway)!r}"
        assert v.credentials.key_id not in shown
        assert "PRIVATE" not in shown
