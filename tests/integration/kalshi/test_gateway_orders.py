"""Orders of the gateway at the Kalshi sandbox: placed, filled, sold, refused, cancelled."""

import asyncio

import msgspec
import pytest

from libs.venues.errors import OutcomeUnknown, Refused
from libs.venues.gateway import TradeStatus
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND, notional
from proto.venue import AckStatus
from sandbox.kalshi.server import CASH
from tests.integration.kalshi.rig import forgetful, place, venue

pytestmark = pytest.mark.asyncio


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
            await place(v, msgspec.structs.replace(sale, order="tape-9-0", time_in_force=TimeInForce.IOC))
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
    monkeypatch.setattr("libs.venues.kalshi.trading.gateway.CANCELS_AT_ONCE_MAX", 2)
    async with venue() as v:
        for i in range(5):
            await place(v, v.new_order(v.market, "no" if i % 2 else "yes", price=200_000 + i * 10_000))
        before = len(v.sandbox.arrivals.of("kalshi", "cancel"))
        await v.gateway.cancel_all()
        assert await v.gateway.open_orders() == []
        assert len(v.sandbox.arrivals.of("kalshi", "cancel")) - before == 3
        await v.gateway.cancel_all()


async def test_cancel_all_takes_ours_whatever_is_wrong_with_another(monkeypatch) -> None:
    """An order placed by hand in a market that nobody knows, and a first batch without an answer."""
    monkeypatch.setattr("libs.venues.kalshi.trading.gateway.CANCELS_AT_ONCE_MAX", 1)
    async with venue() as v:
        for price in (200_000, 210_000):
            await place(v, v.new_order(v.market, "yes", price=price))
        client, asked = v.gateway.client, []
        orders, cancel_orders = client.orders, client.cancel_orders

        async def with_foreign(query, left_out=None):
            ours = await orders(query, left_out)
            return [msgspec.structs.replace(ours[0], order_id="foreign", ticker="KXOTHER-1"), *ours]

        async def first_lost(tickers):
            asked.append(dict(tickers))
            found = await cancel_orders(tickers)
            if len(asked) == 1:
                raise OutcomeUnknown("kalshi", "expected an answer, was a timeout")
            return found

        async def no_market(ticker):
            raise AssertionError(f"expected no question about {ticker}")

        monkeypatch.setattr(client, "orders", with_foreign)
        monkeypatch.setattr(client, "cancel_orders", first_lost)
        monkeypatch.setattr(client, "market", no_market)
        with pytest.raises(Refused, match=r"1 cancels failed, the first .* was a timeout"):
            await v.gateway.cancel_all()
        # Ours first, each led to its shard by its market, of which nothing has to be asked. What is not found there
        # is gone.
        assert [list(tickers.values()) for tickers in asked] == [[v.market.id], [v.market.id], ["KXOTHER-1"]]
        assert list(asked[-1]) == ["foreign"]
        monkeypatch.setattr(client, "orders", orders)
        assert await v.gateway.open_orders() == []


async def test_more_cancels_than_the_basic_tier_holds_go_in_batches_that_fit() -> None:
    """One second of its writes is 50 cancels, and what does not fit whole is refused whole."""
    async with venue() as v:
        await asyncio.gather(*(place(v, v.new_order(v.market, "yes", price=50_000)) for _ in range(60)))
        v.server.budgets.tier = "basic"
        basic = forgetful(v, tier="basic", series=("KXBTC15M",))
        await basic.start()
        await basic.cancel_all()
        assert await basic.open_orders() == []
        assert not v.account.open
        await basic.close()
