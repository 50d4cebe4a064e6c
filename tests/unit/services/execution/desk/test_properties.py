"""Any interleaving, duplication and loss between us and a venue ends with the venue's own position."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proto.execution import TERMINAL, OrderStatus, OrderUpdate
from proto.risk import TimeInForce
from proto.units import ONE
from proto.venue import Correction, Fill, TradeStatus
from services.execution.desk import venue_books as module
from tests.support.desk_world import DeskWorld
from tests.support.order_tape import of
from tests.unit.services.execution.test_machine_properties import check_history

ORDERS_MAX = 4
HOWS = ("ok", "ok", "accepted_silently", "lost", "late", "refused", "not_sent", "filled_at_once", "broken")
NUMBERS = st.integers(1, ORDERS_MAX)
STEPS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(HOWS), st.sampled_from(TimeInForce)),
    st.tuples(st.just("fill"), NUMBERS, st.integers(0, 6), st.sampled_from(TradeStatus)),
    st.tuples(st.just("trade"), st.integers(0, 5), st.sampled_from(TradeStatus)),
    st.tuples(st.just("arrive")),
    st.tuples(st.just("cancel"), NUMBERS),
    st.tuples(st.just("venue_cancels"), NUMBERS),
    st.tuples(st.just("event"), st.integers(0, 5), st.sampled_from(("take", "twice", "lose", "later"))),
    st.tuples(st.just("store"), st.integers(1, 5)),
    st.tuples(st.just("reconcile"), st.booleans()),
    st.tuples(st.just("look_up"), NUMBERS),
    st.tuples(st.just("tick"), st.integers(1, 60)),
    st.tuples(st.just("idle")),
    st.tuples(st.just("restart")),
)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_WAIT_S", 0.0)


def order(number: int) -> str:
    return f"tape1-{number}-0"


async def play(world: DeskWorld, step: tuple[Any, ...]) -> None:
    """One step: at the venue, or on our side."""
    if not at_the_venue(world, step):
        await on_our_side(world, step)


def at_the_venue(world: DeskWorld, step: tuple[Any, ...]) -> bool:
    exchange = world.exchange
    match step:
        case ("fill", number, contracts, status):
            exchange.fill(f"c-{order(number)}", contracts * ONE, status)
        case ("trade", index, status):
            if index < len(exchange.trades):
                exchange.settle_trade(index, status)
        case ("arrive",):
            world.gateway.arrive()
        case ("venue_cancels", number):
            exchange.cancel(f"c-{order(number)}")
        case ("event", index, what):
            deliver(world, index, what)
        case _:
            return False
    return True


async def on_our_side(world: DeskWorld, step: tuple[Any, ...]) -> None:
    desk = world.desk
    match step:
        case ("send", how, tif) if (number := len(world.approvals) + 1) <= ORDERS_MAX:
            await world.send(number, how=how, tif=tif, copied=number % 2 == 0)
        case ("cancel", number):
            await desk.orders.cancel(order(number))
        case ("store", count):
            await world.store(count)
        case ("reconcile", failing):
            world.gateway.failing = failing
            await desk.reconciler.run()
            world.gateway.failing = False
        case ("look_up", number):
            await desk.orders.look_up(order(number))
        case ("tick", seconds):
            await world.tick(seconds)
        case ("idle" | "restart" as what,):
            await desk.tasks.idle()
            if what == "restart":
                world.restart()


def deliver(world: DeskWorld, index: int, what: str) -> None:
    events = world.exchange.events
    if index >= len(events):
        return
    event = events[index]
    if what == "later":
        events.append(event)
    if what != "twice":
        del events[index]
    if what in ("take", "twice"):
        world.desk.books.handle_event(event)


async def scene(world: DeskWorld, steps: list[tuple[Any, ...]]) -> None:
    await world.desk.reconciler.run()
    for step in steps:
        await play(world, step)
    # A claim always gets copied, in the end; every trade becomes final; what was late comes now or never.
    for claim in world.claims.values():
        world.hand.put(claim)
    world.gateway.arrive()
    for index in range(len(world.exchange.trades)):
        world.exchange.settle_trade(index, TradeStatus.CONFIRMED)
    await world.run_until_settled()


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_the_books_end_as_the_venues(steps: list[tuple[Any, ...]]):
    world = DeskWorld()
    asyncio.run(scene(world, steps))
    exchange = world.exchange
    held = {name: position.quantity for _, name, position in world.book.open_positions()}
    assert held == exchange.positions()
    assert world.book.cash == exchange.cash
    assert all(count == 1 for count in world.gateway.submits.values())
    approved = {f"c-{event.order}": event.quantity for event in world.approvals}
    assert all(client in approved for client in world.gateway.submits)
    assert all(resting.new.quantity <= approved[client] for client, resting in exchange.orders.items())
    check_history(world.hand.said)
    for event in world.approvals:
        check_order(world, event.order)
    assert world.desk.orders.reason() == ""


def check_order(world: DeskWorld, name: str) -> None:
    """What the tape says of an order agrees with the exchange, and it stands still nowhere."""
    resting = world.exchange.orders.get(f"c-{name}")
    number = int(name.split("-")[1])
    status = world.status(number)
    assert status is not OrderStatus.UNKNOWN
    fills = {f.fill_id: f.quantity for f in world.published(Fill) if f.order == name}
    assert sum(fills.values()) == (resting.filled if resting else 0) == world.order(number).traded
    if resting is None or not resting.remaining:
        assert status in TERMINAL
    failed = {c.fill_id for c in world.published(Correction) if c.order == name}
    assert world.order(number).undone == sum(fills[fill] for fill in failed)


def test_the_property_sees_an_order_sent_twice():
    world = DeskWorld()

    async def twice() -> None:
        await world.desk.reconciler.run()
        event = await world.send()
        own = world.desk.registry.get(event.order)
        assert own is not None
        with pytest.raises(AssertionError, match="sent twice"):
            await world.gateway.submit(world.desk.order_builder.prepare(event, world.now))

    asyncio.run(twice())
    assert of(OrderUpdate, world.hand.said)
