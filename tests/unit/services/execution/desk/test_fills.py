"""The desk at one venue: what of an order trades, is rounded off, fails, or is too much."""

import msgspec
import pytest

from libs.venues.gateway import NewOrder, Prepared
from proto.execution import OrderStatus, OrderUpdate
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE
from proto.venue import Fill, TradeState, TradeStatus
from services.execution.desk import venue_books as module
from tests.support.desk_world import CLIENT, DeskWorld, run_reconciled
from tests.support.order_tape import ORDER, of
from tests.support.scripted_venue import ScriptedGateway

S = OrderStatus


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_WAIT_S", 0.0)


def test_an_end_waits_until_the_venue_shows_its_fills():
    async def scene(world: DeskWorld) -> None:
        await world.send()
        await world.store()
        world.exchange.fill(CLIENT, 3 * ONE)
        world.exchange.cancel(CLIENT)
        world.gateway.hidden_fills = module.FETCH_ATTEMPTS_MAX
        world.desk.books.handle_event(world.exchange.report(world.exchange.orders[CLIENT]))
        await world.desk.tasks.idle()
        await world.store()
        assert world.status() is S.ACCEPTED
        await world.desk.reconciler.run()
        await world.store()

    world = run_reconciled(scene)
    assert (world.status(), world.order().traded) == (S.CANCELED, 3 * ONE)


@pytest.mark.parametrize("how", ["answer", "stream", "question", "question after a restart"])
def test_what_rounding_took_off_never_comes_and_the_order_is_over(how: str):
    """Asked for a cent less than approved, the venue fills all of it: nobody else remembers the difference."""
    most = 10 * ONE - ONE // 100

    class Rounding(ScriptedGateway):
        def prepare(self, order: NewOrder) -> Prepared:
            return super().prepare(msgspec.structs.replace(order, quantity=most))

    async def scene(world: DeskWorld) -> None:
        world.gateway = Rounding(world.exchange)
        world.restart()
        await world.desk.reconciler.run()
        await world.send(how="filled_at_once" if how == "answer" else "ok")
        world.exchange.fill(CLIENT, most)
        await world.store()
        if how == "stream":
            world.exchange.events.append(world.exchange.report(world.exchange.orders[CLIENT]))
        if how.endswith("restart"):
            world.restart()
        if how.startswith("question"):
            await world.desk.orders.look_up(ORDER)
        await world.stream()
        await world.desk.tasks.idle()
        await world.store()

    world = run_reconciled(scene)
    assert world.status() is S.CANCELED
    assert world.order().filled == most
    assert of(OrderUpdate, world.hand.said)[-1].reason == "rounded"


def test_a_trade_that_fails_takes_its_position_back():
    async def scene(world: DeskWorld) -> None:
        await world.send()
        world.exchange.fill(CLIENT, 10 * ONE, TradeStatus.MATCHED)
        await world.stream()
        await world.store()
        instrument = world.published(Fill)[0].instrument
        assert world.book.quantity(instrument) == 10 * ONE
        world.exchange.settle_trade(0, TradeStatus.MINED)
        world.exchange.settle_trade(0, TradeStatus.FAILED)
        await world.stream()
        # The stream says once more what it said before, and once what cannot be.
        for late in (TradeStatus.MINED, TradeStatus.FAILED, TradeStatus.CONFIRMED):
            world.desk.books.handle_event(msgspec.structs.replace(world.exchange.trades[0], status=late))
        await world.desk.reconciler.run()
        await world.store()
        assert world.book.quantity(instrument) == 0

    world = run_reconciled(scene)
    assert world.order().filled == 0
    assert world.book.cash == world.exchange.cash
    assert world.desk.report()["unconfirmed_fills"] == 0
    assert [state.status for state in world.published(TradeState)] == [
        TradeStatus.MATCHED,
        TradeStatus.MINED,
        TradeStatus.FAILED,
    ]


def test_more_filled_than_ordered_stops_the_market():
    async def scene(world: DeskWorld) -> None:
        event = await world.send()
        await world.store()
        world.exchange.trade(world.exchange.orders[CLIENT], 12 * ONE)
        await world.stream()
        await world.store()
        assert world.desk.orders.reason(event.market) == "over-filled"
        assert world.desk.orders.reason("kalshi:OTHER") == ""
        found = await world.desk.reconciler.run()
        assert [(d.difference, d.ours, d.theirs) for d in found.differences] == [
            ("over_fill", 10 * ONE, 12 * ONE)
        ]
        world.restart()
        assert world.desk.books.facts.stopped == {event.market: "over-filled"}

    world = run_reconciled(scene)
    assert world.book.quantity(world.published(Fill)[0].instrument) == 12 * ONE


def test_more_contracts_for_the_approved_money_are_no_over_fill():
    async def scene(world: DeskWorld) -> None:
        event = await world.send(tif=TimeInForce.IOC)
        await world.store()
        order = world.exchange.orders[CLIENT]
        order.new = msgspec.structs.replace(order.new, price=order.new.price // 2)
        world.exchange.trade(order, 15 * ONE)
        world.exchange.trade(order, 5 * ONE)
        await world.stream()
        await world.store()
        assert world.desk.orders.reason(event.market) == ""
        world.restart()
        assert world.desk.books.facts.stopped == {}

    world = run_reconciled(scene)
    assert world.book.quantity(world.published(Fill)[0].instrument) == 20 * ONE


def test_a_sale_of_more_than_was_approved_is_one():
    async def scene(world: DeskWorld) -> None:
        event = await world.send(side=Side.SELL, reduce_only=True)
        await world.store()
        world.exchange.trade(world.exchange.orders[CLIENT], 11 * ONE)
        await world.stream()
        assert world.desk.orders.reason(event.market) == "over-filled"

    run_reconciled(scene)
