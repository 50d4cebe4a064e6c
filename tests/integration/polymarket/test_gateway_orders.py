"""Orders of the gateway at the Polymarket sandbox: signed, placed, sold, refused, cancelled."""

import time

import pytest

from libs.venues.errors import NotSent, Refused
from libs.venues.gateway import OrderReport
from libs.venues.polymarket.trading import gateway as module
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from libs.venues.polymarket.trading.purchases import BOUGHT_RECENTLY_S
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE
from proto.venue import AckStatus
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.server import Sandbox
from tests.integration.polymarket.rig import (
    TICK,
    TOTAL_S,
    gateway_of,
    market_of,
    new,
    resting,
    sent,
    taking,
    until,
)
from tests.integration.polymarket.trader import server

pytestmark = pytest.mark.asyncio


async def test_every_kind_of_account_trades(sandbox: Sandbox):
    rows = [sandbox.credentials["polymarket"], *sandbox.credentials["polymarket"]["others"]][:4]
    kinds = set()
    for row in rows:
        gateway = gateway_of(sandbox, row)
        await gateway.start()
        market = market_of(sandbox)
        await gateway.load_market(f"polymarket:{market.id}")
        prepared = gateway.prepare(resting(market))
        report = await gateway.submit(prepared)
        assert (report.status, report.venue_order_id) == (AckStatus.ACCEPTED, prepared.client_order_id)
        assert [order.client_order_id for order in await gateway.open_orders()] == [prepared.client_order_id]
        await gateway.cancel_all()
        assert await gateway.open_orders() == []
        await gateway.close()
        kinds.add(row["signature_type"])
    assert kinds == {0, 1, 2, 3}


async def test_neg_risk_and_poly_v2_markets_trade_under_their_own_domains(
    sandbox: Sandbox, gateway: PolymarketGateway
):
    markets = [m for m in sandbox.world.markets("polymarket") if m.accepts_orders]
    wanted = {(m.neg_risk, m.version): m for m in markets}
    assert len(wanted) >= 2
    for market in wanted.values():
        await gateway.load_market(f"polymarket:{market.id}")
        report = await gateway.submit(gateway.prepare(resting(market)))
        assert report.status is AckStatus.ACCEPTED


async def test_an_order_lives_and_dies(sandbox: Sandbox, gateway: PolymarketGateway):
    market = market_of(sandbox)
    before = await gateway.balance()
    prepared = gateway.prepare(resting(market))
    assert await gateway.look_up(sent(prepared)) is None
    await gateway.submit(prepared)
    found = await gateway.look_up(sent(prepared))
    assert found is not None
    assert (found.status, found.remaining, found.instrument) == (
        AckStatus.ACCEPTED,
        10 * ONE,
        f"polymarket:{market.id}:{market.outcomes[0].lower()}",
    )
    assert (await gateway.balance()).available == before.available - 10 * TICK
    await gateway.cancel(sent(prepared))
    await gateway.cancel(sent(prepared))
    gone = await gateway.look_up(sent(prepared))
    assert gone is not None
    assert (gone.status, gone.remaining) == (AckStatus.CANCELED, 0)


async def test_cancel_all_is_not_done_while_an_order_works(sandbox: Sandbox, gateway: PolymarketGateway):
    market = market_of(sandbox)
    options = server(sandbox).options
    # As in sports markets: what takes is held for a while, and cannot be cancelled meanwhile.
    options.taker_delay_ms, options.delayed_answer_ms = 700.0, 100.0
    await gateway.submit(gateway.prepare(resting(market)))
    held = await gateway.submit(gateway.prepare(taking(market)))
    assert held.reason == "delayed"
    with pytest.raises(Refused, match=held.venue_order_id) as raised:
        await gateway.cancel_all()
    assert raised.value.code == "not_canceled"

    # It is over by the time that the venue is asked what became of it.
    sandbox.faults.set(FaultRule(kind=FaultKind.DELAY, operation="read", seconds=0.8, count=1))
    await gateway.cancel_all()
    assert sandbox.faults.count(FaultKind.DELAY) == 1
    assert await gateway.open_orders() == []
    # Nor when the answer says nothing, and something rests.
    sandbox.faults.set(FaultRule(kind=FaultKind.STATUS, operation="cancel", status=200, body="hollow"))
    await gateway.cancel_all()
    await gateway.submit(gateway.prepare(resting(market)))
    with pytest.raises(Refused):
        await gateway.cancel_all()


async def test_cancel_all_gives_up_questions_that_hang(
    sandbox: Sandbox, gateway: PolymarketGateway, monkeypatch: pytest.MonkeyPatch
):
    """A halt asks again in a second, and cancels again: it must not wait for reads that are tried four times."""
    monkeypatch.setattr(module, "NOT_CANCELED_PATIENCE_S", 0.1)
    options = server(sandbox).options
    options.taker_delay_ms, options.delayed_answer_ms = 60_000.0, 100.0
    held = await gateway.submit(gateway.prepare(taking(market_of(sandbox))))
    assert held.reason == "delayed"
    sandbox.faults.set(FaultRule(kind=FaultKind.DELAY, operation="read", seconds=0.5))
    with pytest.raises(Refused, match="no answer") as raised:
        await gateway.cancel_all()
    assert raised.value.code == "not_canceled"


async def test_a_second_submission_finds_the_first(sandbox: Sandbox, gateway: PolymarketGateway):
    prepared = gateway.prepare(resting(market_of(sandbox)))
    first = await gateway.submit(prepared)
    again = await gateway.submit(prepared)
    assert (again.client_order_id, again.status) == (first.client_order_id, AckStatus.ACCEPTED)
    assert len(await gateway.open_orders()) == 1


async def test_lifetimes(sandbox: Sandbox, gateway: PolymarketGateway):
    market = market_of(sandbox)
    for time_in_force, reason in ((TimeInForce.FOK, "fok_not_filled"), (TimeInForce.IOC, "fak_not_filled")):
        killed = new(market, Side.BUY, TICK, 1_000 * ONE, time_in_force=time_in_force)
        report = await gateway.submit(gateway.prepare(killed))
        assert (report.status, report.filled, report.reason) == (AckStatus.CANCELED, 0, reason)
    gtd = new(market, Side.BUY, TICK, 10 * ONE, time_in_force=TimeInForce.GTD, post_only=True)
    assert (await gateway.submit(gateway.prepare(gtd))).status is AckStatus.ACCEPTED
    crossing = taking(market)
    crossing = new(market, Side.BUY, crossing.price, 10 * ONE, post_only=True)
    with pytest.raises(Refused) as raised:
        await gateway.submit(gateway.prepare(crossing))
    assert raised.value.code == "post_only_crosses"


async def test_after_rounding_nothing_remains_and_the_answer_is_what_a_question_finds(
    sandbox: Sandbox, gateway: PolymarketGateway
):
    market = market_of(sandbox)
    ask = market.book.best(0)[1]
    assert ask is not None
    # At the very price that is asked: no better one can make up for the cent that is cut off.
    odd = new(market, Side.BUY, ask, 6_010_000, time_in_force=TimeInForce.IOC)
    prepared = gateway.prepare(odd)
    report = await gateway.submit(prepared)
    found = await gateway.look_up(sent(prepared))
    assert found is not None
    assert 0 < report.filled == found.filled
    assert (report.status, report.remaining) == (found.status, found.remaining) == (found.status, 0)


async def test_a_purchase_at_once_never_costs_more_than_was_approved(
    sandbox: Sandbox, gateway: PolymarketGateway
):
    """The venue spends the money that was named: at better prices it buys more than was asked for."""
    order = taking(market_of(sandbox), 12_340_000)
    await gateway.submit(gateway.prepare(order))
    fills = await gateway.fills(0)
    assert fills
    assert sum(fill.price * fill.quantity for fill in fills) <= order.price * order.quantity


async def test_pain_point_18_a_finer_tick_is_learned_after_the_first_refusal(
    sandbox: Sandbox, gateway: PolymarketGateway
):
    market = market_of(sandbox)
    fine = new(market, Side.BUY, 15_000, 10 * ONE)
    sandbox.faults.set(FaultRule(kind=FaultKind.TICK_SIZE_CHANGE, tick="0.005", market=market.id, count=1))

    async def finer() -> bool:
        return market.tick == 5_000

    await until(finer)
    with pytest.raises(Refused) as raised:
        gateway.prepare(fine)
    assert raised.value.code == "price_off_grid"
    await gateway.load_market(fine.market)
    assert (await gateway.submit(gateway.prepare(fine))).status is AckStatus.ACCEPTED


async def test_batches(sandbox: Sandbox, gateway: PolymarketGateway):
    market = market_of(sandbox)
    good = [gateway.prepare(new(market, Side.BUY, n * TICK, 10 * ONE, order=f"b-{n}")) for n in (1, 2, 3)]
    bad = gateway.prepare(new(market, Side.SELL, 99 * TICK, 10_000 * ONE, order="b-4"))
    *placed, refused = await gateway.submit_many([*good, bad])
    assert [report.client_order_id for report in placed if isinstance(report, OrderReport)] == [
        one.client_order_id for one in good
    ]
    assert isinstance(refused, Refused)
    assert refused.code == "not_enough_balance"
    await gateway.cancel_many([sent(one) for one in good[:2]])
    assert [order.client_order_id for order in await gateway.open_orders()] == [good[2].client_order_id]
    await gateway.cancel_market(f"polymarket:{market.id}")
    assert await gateway.open_orders() == []


async def test_pain_point_04_what_was_just_bought_can_be_sold(
    sandbox: Sandbox, gateway: PolymarketGateway, monkeypatch: pytest.MonkeyPatch
):
    server(sandbox).options.mined_after_s = server(sandbox).options.stale_balance_s = 60.0
    market = market_of(sandbox)
    await gateway.submit(gateway.prepare(taking(market)))
    sale = new(market, Side.SELL, TICK, 5 * ONE, time_in_force=TimeInForce.IOC)
    prepared = gateway.prepare(sale)
    # A halt comes while the venue reads the balance anew: it does not leave at all.
    with pytest.raises(NotSent):
        await gateway.submit_while(prepared, lambda: False)
    assert len(sandbox.arrivals.of("polymarket", "order")) == 1
    # A halt, or the order's expiry, comes while it waits: the last refusal is the last word.
    allowed = iter([True, True, False])
    with pytest.raises(Refused) as raised:
        await gateway.submit_while(prepared, lambda: next(allowed))
    assert (raised.value.code, list(allowed)) == ("not_enough_balance", [])
    assert len(sandbox.arrivals.of("polymarket", "order")) == 2
    with pytest.raises(Refused):
        await gateway.submit(prepared)
    # Nor is it sent so late that the desk's patience ends before its answer.
    monkeypatch.setattr(module, "SALE_PATIENCE_S", 0.0)
    with pytest.raises(Refused):
        await gateway.submit_while(prepared, lambda: True)
    monkeypatch.undo()
    assert len(sandbox.arrivals.of("polymarket", "order")) == 4
    server(sandbox).options.mined_after_s = 0.7
    await gateway.submit(gateway.prepare(taking(market)))
    report = await gateway.submit_while(prepared, lambda: True)
    assert (report.status, report.filled) == (AckStatus.ACCEPTED, 5 * ONE)
    # The sale alone may have come more than once, each time under the same id.
    sales = sandbox.arrivals.of("polymarket", "order")[5:]
    assert {key for arrival in sales for key in arrival.keys} == {prepared.client_order_id}
    assert [arrival.status for arrival in sales] == [400] * (len(sales) - 1) + [200]
    assert len(sales) > 1


async def test_a_sale_of_what_nobody_bought_is_refused_at_once(sandbox: Sandbox, gateway: PolymarketGateway):
    gateway._purchases.began_at_s -= BOUGHT_RECENTLY_S
    sale = gateway.prepare(new(market_of(sandbox), Side.SELL, 99 * TICK, 10 * ONE))
    # A stop leaves at once, also while the venue answers no question: only a fresh start, or a purchase
    # just now, is a reason to have the balance read anew, and then not for long.
    sandbox.faults.set(FaultRule(kind=FaultKind.DELAY, operation="read", seconds=2 * TOTAL_S))
    for asked in (0, 1):
        began = time.monotonic()
        with pytest.raises(Refused) as raised:
            await gateway.submit(sale)
        assert raised.value.code == "not_enough_balance"
        # Less than a read may take that is waited for to its end.
        assert time.monotonic() - began < TOTAL_S
        assert sandbox.faults.count(FaultKind.DELAY) == asked
        gateway._purchases.began_at_s += BOUGHT_RECENTLY_S


async def test_the_dead_mans_switch(
    sandbox: Sandbox, gateway: PolymarketGateway, monkeypatch: pytest.MonkeyPatch
):
    now_ns = time.time_ns()
    monkeypatch.setattr(sandbox.world, "_clock", lambda: now_ns)

    async def lived() -> bool:
        return sandbox.world.at >= now_ns

    options = server(sandbox).options
    options.heartbeat_s, options.heartbeat_buffer_s = 1.0, 0.5
    await gateway.submit(gateway.prepare(resting(market_of(sandbox))))
    for number in range(5):
        if number == 4:
            # A restart forgets the id; the venue's correction is taken.
            gateway._heartbeat_id = ""
        await gateway.heartbeat()
        now_ns += 1_400_000_000
        await until(lived)
        assert len(await gateway.open_orders()) == 1
    now_ns += 200_000_000

    async def cancelled() -> bool:
        return not await gateway.open_orders()

    await until(cancelled)
