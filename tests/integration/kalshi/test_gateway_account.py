"""What the gateway learns of its account at the Kalshi sandbox: after a restart, by settlement, in lists."""

import msgspec
import pytest

from libs.venues.errors import BadAnswer, Refused
from libs.venues.gateway import RemembersOrders
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.kalshi.trading.orders import restate
from proto.feed import MarketStatus, Side
from proto.units import ONE, SECOND, notional
from proto.venue import AckStatus
from sandbox.kalshi.server import CASH
from tests.integration.kalshi.rig import forgetful, place, sent, venue

pytestmark = pytest.mark.asyncio


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
        gateway.remember_order(order)
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


@pytest.mark.parametrize(("row", "told"), [({"ts": None}, 1), ({"ts": 0}, 1), ({}, 0)])
async def test_a_fill_without_a_time_is_told_whatever_is_asked_for(monkeypatch, row, told: int) -> None:
    async with venue() as v:
        v.empty(v.market)
        v.other_side(v.market, 1, 600_000, 4)
        await place(v, v.new_order(v.market, "yes"))
        [fill] = await v.gateway.client.fills({})
        if row:
            fill = msgspec.structs.replace(fill, created_time=None, **row)

        async def fills(_query: object) -> list[rest.Fill]:
            return [fill]

        monkeypatch.setattr(v.gateway.client, "fills", fills)
        assert len(await v.gateway.fills(v.sandbox.world.now() + SECOND)) == told


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


async def test_secrets_do_not_show() -> None:
    async with venue() as v:
        shown = f"{v.gateway!r} {v.credentials!r} {vars(v.gateway)!r}"
        assert v.credentials.key_id not in shown
        assert "PRIVATE" not in shown
