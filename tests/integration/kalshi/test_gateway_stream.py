"""The gateway's user stream at the Kalshi sandbox: orders and fills, told once, twice, early or too large."""

import asyncio
import logging

import msgspec
import pytest

from libs.venues.gateway import FillReport, OrderReport, StreamState
from proto.feed import Side
from proto.units import MILLISECOND, ONE
from proto.venue import AckStatus
from sandbox.faults.rules import FaultKind, FaultRule
from tests.integration.kalshi.rig import place, take, venue

pytestmark = pytest.mark.asyncio


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
        # The frame tells all of it: no question is needed.
        v.sandbox.faults.set(FaultRule(kind=FaultKind.STATUS, operation="read", status=503))
        v.other_side(market, 1 - index, 600_000, 4)
        seen = await take(events, lambda e: isinstance(e, OrderReport))
        v.sandbox.faults.set()
        [fill] = [e for e in seen if isinstance(e, FillReport)]
        [asked] = await v.gateway.fills(0)
        assert fill == msgspec.structs.replace(asked, at=asked.at // MILLISECOND * MILLISECOND)
        assert (fill.side, fill.price, fill.quantity, fill.maker) == (Side.BUY, 400_000, 4 * ONE, True)
        assert seen[-1].filled == 4 * ONE
        await v.gateway.cancel_all()
        [cancelled] = await take(events, lambda e: isinstance(e, OrderReport))
        assert (cancelled.status, cancelled.remaining) == (AckStatus.CANCELED, 0)
        await events.aclose()


@pytest.mark.parametrize(
    "lacking", ["fee_cost", "count_fp", "yes_price_dollars", "is_taker", "ts_ms", "book_side"]
)
async def test_what_a_fill_frame_does_not_tell_is_asked_for(lacking: str) -> None:
    async with venue() as v:
        events = v.gateway.events()
        await take(events, lambda e: e is StreamState.CONNECTED)
        v.empty(v.market)
        v.other_side(v.market, 1, 600_000, 4)
        await place(v, v.new_order(v.market, "yes", price=400_000))
        await take(events, lambda e: isinstance(e, FillReport))
        body = v.server.exchange.fills[-1].frame()
        # Either word for the side is enough.
        dropped = {lacking, "outcome_side"} if lacking == "book_side" else {lacking}
        body = {name: value for name, value in body.items() if name not in dropped}
        v.server.stream.publish_to_owner("kalshi-sandbox", "fill", body)
        told = await take(events, lambda e: isinstance(e, FillReport))
        assert [told[-1]] == list(await v.gateway.fills(0))
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
    monkeypatch.setattr("libs.venues.kalshi.trading.user_events.FILL_PAUSE_S", 0.001)
    async with venue() as v:
        events = v.gateway.events()
        await take(events, lambda e: e is StreamState.CONNECTED)
        report, _ = await place(v, v.new_order(v.market, "yes", price=300_000))
        await take(events, lambda e: isinstance(e, OrderReport))
        body = {"trade_id": "ghost", "order_id": report.venue_order_id, "market_ticker": v.market.id}
        with caplog.at_level(logging.WARNING):
            v.server.stream.publish_to_owner("kalshi-sandbox", "fill", body)
            assert await take(events, lambda e: e is StreamState.CONNECTED) == [
                StreamState.DISCONNECTED, StreamState.CONNECTED,
            ]  # fmt: skip
        assert "ghost" in caplog.text
        await events.aclose()
