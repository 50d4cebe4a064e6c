"""Emergencies: nothing rests while one lasts, and a process that no longer leads touches no order of another one."""

import asyncio

import pytest

from proto.venue import AckStatus
from services.execution.desk import venue_books as module
from services.execution.desk.live_desk import LiveDesk
from tests.support.desk_world import CLIENT, DeskWorld, run
from tests.support.order_tape import approval, claim
from tests.support.scripted_venue import Resting

SECOND_CLIENT = "c-tape1-2-0"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_WAIT_S", 0.0)


def working(world: DeskWorld) -> set[str]:
    return {name for name, order in world.exchange.orders.items() if order.status is AckStatus.ACCEPTED}


async def placed_by_another(world: DeskWorld, *, number: int = 2) -> None:
    """An order that the process leading now has approved, claimed and sent."""
    event = approval(number, expires_s=world.hand.now_s + 60)
    prepared = world.desk.order_builder.prepare(event, world.now)
    world.exchange.place(world.gateway.prepared[prepared.client_order_id], prepared.client_order_id)


async def one_resting(world: DeskWorld) -> None:
    await world.desk.reconciler.run()
    await world.send()
    await world.store()
    assert working(world) == {CLIENT}


def test_who_leads_leaves_nothing_at_the_venue():
    async def scene(world: DeskWorld) -> None:
        await one_resting(world)
        await placed_by_another(world)
        await world.desk.emergency.step("broker gone")
        assert working(world) == set()
        assert world.gateway.cancel_alls == 1

    run(scene)


def test_a_former_leader_cancels_what_it_knew_and_nothing_of_the_new_ones():
    async def scene(world: DeskWorld) -> None:
        await one_resting(world)
        world.leads = False
        await placed_by_another(world)
        for _ in range(3):
            world.desk.emergency._next_at_s = 0.0
            await world.desk.emergency.step("broker gone")
            assert working(world) == {SECOND_CLIENT}
        assert world.gateway.cancel_alls == 0
        assert world.desk.orders.reason() == "broker gone"
        # One of its own that appears late goes as well.
        world.exchange.orders[CLIENT] = Resting(**_fields(world.exchange.orders[CLIENT]))
        world.desk.emergency._next_at_s = 0.0
        await world.desk.emergency.step("broker gone")
        assert working(world) == {SECOND_CLIENT}

    run(scene)


def _fields(order: Resting) -> dict[str, object]:
    return {name: getattr(order, name) for name in order.__struct_fields__} | {"status": AckStatus.ACCEPTED}


def test_a_claim_read_after_the_lease_lapsed_is_not_the_former_leaders_to_cancel():
    async def scene(world: DeskWorld) -> None:
        await one_resting(world)
        world.leads = False
        # Frozen for a while, it reads what the new leader has claimed before it looks at its lease again.
        await placed_by_another(world)
        event = approval(2, expires_s=world.hand.now_s + 60)
        world.approve(event)
        won = claim(event).replace(client_order_id=SECOND_CLIENT, claimed_at=world.now)
        world.hand.put(won)
        world.desk.restore(won, event)
        await world.desk.emergency.step("broker gone")
        await world.desk.withdraw(everything=True)
        assert working(world) == {SECOND_CLIENT}

    run(scene)


def test_a_process_that_leads_again_answers_for_every_order():
    async def scene(world: DeskWorld) -> None:
        await one_resting(world)
        world.leads = False
        await placed_by_another(world)
        event = approval(2, expires_s=world.hand.now_s + 60)
        world.approve(event)
        world.desk.restore(claim(event).replace(client_order_id=SECOND_CLIENT), event)
        desk = LiveDesk([], world.context())
        desk.venues = {"kalshi": world.desk}
        await desk.watch()
        assert world.desk.registry.late == {event.order}
        world.leads = True
        await desk.watch()
        assert world.desk.registry.late == set()

    run(scene)


def test_a_former_leader_sends_no_heartbeat_and_cancels_nothing_for_one():
    async def scene(world: DeskWorld) -> None:
        await one_resting(world)
        world.leads = False
        world.gateway.beat_fails = True
        for _ in range(3):
            await world.desk.heartbeat()
        assert (world.gateway.beats, world.gateway.cancel_alls) == (0, 0)
        world.leads = True
        await world.desk.heartbeat()
        assert world.gateway.beats == 1

    run(scene)


def test_a_lapsed_lease_is_looked_at_again_soon(monkeypatch: pytest.MonkeyPatch):
    waits: list[float] = []

    async def scene(world: DeskWorld) -> None:
        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            world.leads = False
            if len(waits) == 2:
                raise asyncio.CancelledError

        await one_resting(world)
        monkeypatch.setattr("services.execution.desk.venue.asyncio.sleep", sleep)
        with pytest.raises(asyncio.CancelledError):
            await world.desk._heartbeat_loop()

    run(scene)
    assert waits == [5.0, 0.5]
