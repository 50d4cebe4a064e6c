"""Manifold's gateway against a small Manifold on loopback: orders, doubts, reconciliation, payouts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web

from libs.venues.errors import BadAnswer, NotSent, OutcomeUnknown, RateLimited, Refused, VenueError
from libs.venues.gateway import (
    FillReport,
    NewOrder,
    OrderReport,
    RepeatsRefused,
    SentOrder,
    StreamState,
    VenueGateway,
)
from libs.venues.manifold.trading.auth import ManifoldCredentials
from libs.venues.manifold.trading.gateway import ManifoldGateway
from libs.venues.transport import http as transport
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE, SECOND
from proto.venue import AckStatus
from tests.integration.manifold_stub import ManifoldStub, manifold_stub

AT = 1_790_000_000 * SECOND


class Clock:
    def __init__(self) -> None:
        self.ms = AT // MILLISECOND + 10

    def __call__(self) -> int:
        return self.ms


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(transport, "BACKOFF_S_MIN", 0.001)


@asynccontextmanager
async def trading(key: str = "s3cret") -> AsyncIterator[tuple[ManifoldStub, ManifoldGateway, Clock]]:
    clock = Clock()
    async with manifold_stub(clock) as stub:
        gateway = ManifoldGateway(
            ManifoldCredentials(key), f"http://{stub.url}/v0", f"ws://{stub.url}/ws", clock, (0.01, 0.02)
        )
        try:
            if key == "s3cret":
                await gateway.start()
            yield stub, gateway, clock
        finally:
            await gateway.close()


def an_order(name: str = "t1-7-0", **more: object) -> NewOrder:
    fields = {
        "market": "manifold:abc",
        "instrument": "manifold:abc:yes",
        "side": Side.BUY,
        "price": 540_000,
        "quantity": 10 * ONE,
        "time_in_force": TimeInForce.GTD,
        "expires_at": AT + 60 * SECOND,
        "approved_at": AT,
    }
    return NewOrder(order=name, **(fields | more))


def sent(gateway: ManifoldGateway, order: NewOrder, venue_order_id: str = "") -> SentOrder:
    prepared = gateway.prepare(order)
    return SentOrder(
        order=order.order,
        client_order_id=prepared.client_order_id,
        instrument=order.instrument,
        venue_order_id=venue_order_id,
    )


@pytest.mark.asyncio
async def test_the_gateway_is_one_and_needs_a_valid_key():
    async with trading(key="wrong") as (_, gateway, _clock):
        port: VenueGateway = gateway
        with pytest.raises(Refused, match="401 Unauthorized") as refused:
            await port.start()
        assert "wrong" not in str(refused.value)


@pytest.mark.asyncio
async def test_a_marketable_order_buys_no_more_than_was_approved():
    async with trading() as (stub, gateway, _):
        report = await gateway.submit(gateway.prepare(an_order()))
        assert report.status is AckStatus.ACCEPTED
        # 5 mana at 0.50 and rising: a little less than ten shares.
        assert 9.7 * ONE < report.filled < 10 * ONE
        assert report.remaining == 0
        [fill] = await gateway.fills(AT)
        assert (fill.instrument, fill.side, fill.quantity) == ("manifold:abc:yes", Side.BUY, report.filled)
        assert 500_000 < fill.price < 540_000
        assert fill.client_order_id == report.client_order_id == sent(gateway, an_order()).client_order_id
        assert stub.bets[0]["orderAmount"] == 5.0
        assert await gateway.open_orders() == []


@pytest.mark.asyncio
async def test_a_sale_bets_on_the_other_outcome_and_is_told_as_a_sale():
    async with trading() as (stub, gateway, _):
        order = an_order(side=Side.SELL, price=470_000)
        report = await gateway.submit(gateway.prepare(order))
        assert stub.bets[0]["outcome"] == "NO"
        assert stub.bets[0]["limitProb"] == 0.47
        assert report.instrument == "manifold:abc:yes"
        [fill] = await gateway.fills(AT)
        assert (fill.side, fill.instrument) == (Side.SELL, "manifold:abc:yes")
        assert 470_000 < fill.price < 500_000


@pytest.mark.asyncio
async def test_an_order_rests_is_found_and_is_cancelled():
    async with trading() as (stub, gateway, clock):
        order = an_order(price=400_000)
        report = await gateway.submit(gateway.prepare(order))
        assert (report.filled, report.remaining) == (0, 10 * ONE)
        [working] = await gateway.open_orders()
        assert working == report
        # Only what the ledger holds, as after a crash.
        found = await gateway.look_up(sent(gateway, order))
        assert found == report
        await gateway.cancel(sent(gateway, order))
        assert stub.bets[0]["isCancelled"]
        assert (await gateway.look_up(sent(gateway, order))).status is AckStatus.CANCELED
        # Gone already is fine, by either way of asking.
        await gateway.cancel(sent(gateway, order))
        await gateway.cancel(sent(gateway, order, report.venue_order_id))
        for number in range(3):
            await gateway.submit(gateway.prepare(an_order(f"o{number}", price=300_000)))
        assert len(await gateway.open_orders()) == 3
        await gateway.cancel_all()
        assert await gateway.open_orders() == []
        await gateway.submit(gateway.prepare(an_order("late", price=300_000)))
        clock.ms += 61_000
        assert (
            await gateway.look_up(sent(gateway, an_order("late", price=300_000)))
        ).status is AckStatus.EXPIRED


@pytest.mark.asyncio
async def test_an_immediate_order_leaves_nothing_behind():
    async with trading() as (stub, gateway, _):
        order = an_order(time_in_force=TimeInForce.IOC, price=510_000, quantity=100 * ONE)
        report = await gateway.submit(gateway.prepare(order))
        assert report.remaining == 0
        assert 0 < report.filled < 5 * ONE
        assert stub.bets[0]["isCancelled"]
        # Should the cancel fail, the rest is told and ends by itself.
        stub.before = lambda request: web.json_response({}, status=500) if "cancel" in request.path else None
        again = await gateway.submit(
            gateway.prepare(an_order("t1-8-0", time_in_force=TimeInForce.IOC, price=510_000))
        )
        assert again.remaining > 0
        assert stub.bets[1]["expiresAt"] <= (AT + 60 * SECOND) // MILLISECOND


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [500, 502, 200])
async def test_an_order_whose_answer_is_lost_is_found_and_never_sent_again(status):
    async with trading() as (stub, gateway, _):
        stub.after = lambda request: (
            web.Response(status=status, text="<html>") if request.method == "POST" else None
        )
        order = an_order()
        with pytest.raises(OutcomeUnknown):
            await gateway.submit(gateway.prepare(order))
        assert stub.requests.count("POST /v0/bet") == 1
        found = await gateway.look_up(sent(gateway, order))
        assert found is not None
        assert found.venue_order_id == "bet0"
        assert found.filled == (await gateway.fills(AT))[0].quantity


@pytest.mark.asyncio
async def test_an_order_of_which_there_is_no_bet_is_not_found_however_long_it_may_rest():
    async with trading() as (stub, gateway, _clock):
        order = an_order(time_in_force=TimeInForce.GTC)
        assert await gateway.look_up(sent(gateway, order)) is None
        # It appears after all.
        await ManifoldGateway.submit(gateway, gateway.prepare(an_order(expires_at=AT + 900 * SECOND)))
        stub.bets[0]["expiresAt"] = int(sent(gateway, order).client_order_id.rsplit("-", 1)[1])
        assert (await gateway.look_up(sent(gateway, order))).venue_order_id == "bet0"


@pytest.mark.asyncio
async def test_a_bet_that_may_be_the_order_leaves_it_unknown():
    async with trading() as (stub, gateway, clock):
        stub.echo_expiry = False
        report = await gateway.submit(gateway.prepare(an_order()))
        clock.ms += 10_000_000
        with pytest.raises(BadAnswer, match="one bet like"):
            await gateway.look_up(sent(gateway, an_order()))
        # Its own id settles the doubt.
        assert (
            await gateway.look_up(sent(gateway, an_order(), report.venue_order_id))
        ).filled == report.filled
        stub.echo_expiry = True
        stub.bets.clear()
        for name in ("a", "a"):
            clock.ms = AT // MILLISECOND + 10
            await gateway.submit(gateway.prepare(an_order(name)))
        with pytest.raises(BadAnswer, match="one bet like a, was 2"):
            await gateway.look_up(sent(gateway, an_order("a")))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/v0/market/abc", 500, NotSent),
        ("/v0/market/abc", 404, NotSent),
        ("/v0/market/abc", 429, RateLimited),
        ("/v0/bet", 400, Refused),
        ("/v0/bet", 429, RateLimited),
        ("/v0/bet", 503, OutcomeUnknown),
    ],
)
async def test_what_a_failure_means_depends_on_what_had_left(path, status, kind):
    async with trading() as (stub, gateway, _):
        stub.before = lambda request: (
            web.json_response({"message": "no"}, status=status) if request.path == path else None
        )
        with pytest.raises(VenueError) as caught:
            await gateway.submit(gateway.prepare(an_order()))
        assert type(caught.value) is kind
        assert stub.requests.count("POST /v0/bet") == (path == "/v0/bet")
        assert not stub.bets


@pytest.mark.asyncio
async def test_an_order_past_its_end_or_in_a_strange_market_is_not_sent():
    async with trading() as (stub, gateway, clock):
        stub.resolution = {"outcomeType": "MULTIPLE_CHOICE"}
        with pytest.raises(Refused, match="binary"):
            await gateway.submit(gateway.prepare(an_order()))
        prepared = gateway.prepare(an_order())
        clock.ms += 60_000
        with pytest.raises(Refused, match="past its end"):
            await gateway.submit(prepared)
        assert "POST /v0/bet" not in stub.requests


@pytest.mark.asyncio
@pytest.mark.parametrize("what", ["halted", "past its end"])
async def test_what_happens_while_the_market_is_read_still_holds_an_order_back(what):
    async with trading() as (stub, gateway, clock):
        prepared, halted = gateway.prepare(an_order()), False

        def meanwhile(request: web.Request) -> None:
            nonlocal halted
            if request.path == "/v0/market/abc":
                halted = what == "halted"
                clock.ms += 0 if halted else 60_000

        stub.before = meanwhile
        assert isinstance(gateway, RepeatsRefused)
        with pytest.raises(VenueError) as caught:
            await gateway.submit_while(prepared, lambda: not halted)
        assert type(caught.value) is (NotSent if what == "halted" else Refused)
        assert "POST /v0/bet" not in stub.requests


@pytest.mark.asyncio
async def test_lists_are_complete_or_an_error(monkeypatch):
    monkeypatch.setattr("libs.venues.manifold.trading.account.PAGE_MAX", 2)
    async with trading() as (stub, gateway, clock):
        for number in range(5):
            clock.ms += 1
            await gateway.submit(gateway.prepare(an_order(f"o{number}", price=300_000)))
        assert len(await gateway.open_orders()) == 5
        stub.before = lambda request: (
            web.Response(text="[") if request.query.get("before") == "bet1" else None
        )
        with pytest.raises(BadAnswer):
            await gateway.open_orders()
        monkeypatch.setattr("libs.venues.manifold.trading.account.PAGES_MAX", 2)
        stub.before = lambda request: None
        with pytest.raises(BadAnswer, match="at most 2 pages"):
            await gateway.open_orders()


@pytest.mark.asyncio
async def test_positions_balance_and_payouts():
    async with trading() as (stub, gateway, _):
        assert await gateway.positions() == {}
        await gateway.submit(gateway.prepare(an_order()))
        stub.positions = {"YES": 9.81, "NO": 0.0}
        assert await gateway.positions() == {"manifold:abc:yes": 9_810_000}
        assert (await gateway.balance()).available == 1_000_500_000
        assert await gateway.settlements(AT) == []
        stub.resolution = {"isResolved": True, "resolution": "YES", "resolutionTime": AT // MILLISECOND + 99}
        paid = await gateway.settlements(AT)
        assert [(s.instrument, s.price) for s in paid] == [("manifold:abc:no", 0), ("manifold:abc:yes", ONE)]
        assert await gateway.positions() == {}
        assert await gateway.settlements(AT + SECOND) == []
        # Taken back, and resolved anew: told, then paid anew.
        stub.resolution = {}
        assert len(await gateway.settlements(AT)) == 2
        assert [odd.kind for odd in gateway.odd_items.latest(1)] == ["resolution"]
        assert await gateway.positions() == {}
        stub.resolution = {"isResolved": True, "resolution": "NO", "resolutionTime": AT // MILLISECOND + 500}
        paid = await gateway.settlements(AT)
        assert [(s.instrument, s.price) for s in paid] == [("manifold:abc:no", ONE), ("manifold:abc:yes", 0)]
        stub.balance = 1e300
        with pytest.raises(BadAnswer):
            await gateway.balance()


@pytest.mark.asyncio
async def test_fills_of_resting_orders_come_over_the_stream_and_after_a_break():
    async with trading() as (stub, gateway, _):
        seen: list = []
        async with asyncio.timeout(60), aclosing(gateway.events()) as events:
            async for event in events:
                seen.append(event)
                if seen == [StreamState.CONNECTED]:
                    await gateway.submit(gateway.prepare(an_order(price=400_000)))
                    filled = stub.bets[0] | {
                        "amount": 1.0,
                        "shares": 2.5,
                        "fills": [{"amount": 1.0, "shares": 2.5, "timestamp": 1, "matchedBetId": "x"}],
                    }
                    await stub.broadcast("user/me/orders", filled, filled | {"userId": "other", "id": "o"})
                if isinstance(event, FillReport) and event.venue_order_id == "bet0":
                    await stub.sockets[0].close()
                if seen.count(StreamState.CONNECTED) == 2:
                    # What the answer to an order tells is an event too.
                    await gateway.submit(gateway.prepare(an_order("next")))
                    if len([e for e in seen if isinstance(e, FillReport)]) == 1:
                        fill = await anext(events)
                        assert isinstance(fill, FillReport)
                        assert fill.venue_order_id == "bet1"
                        break
        assert "user/me/orders" in stub.topics
        assert [type(event) for event in seen[:3]] == [StreamState, OrderReport, FillReport]
        assert seen[2].quantity == 2_500_000
        assert StreamState.DISCONNECTED in seen
