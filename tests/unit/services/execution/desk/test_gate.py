"""What opens a venue's gate and what shuts it: answers, failures, doubts, heartbeats, a stop."""

import asyncio

import pytest

from libs.venues.errors import BadAnswer
from libs.venues.gateway import OrderReport, SentOrder
from proto.execution import OrderStatus
from proto.feed import Side
from proto.units import ONE
from proto.venue import AckStatus, Fill
from services.execution.desk import reconcile
from services.execution.desk import venue_books as module
from services.execution.desk.venue_gate import FAILURES_MAX, PAUSE_S_DEFAULT, VenueGate
from tests.support.desk_world import CLIENT, DeskWorld, run
from tests.support.order_tape import MARKET


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_WAIT_S", 0.0)


def test_nothing_leaves_before_the_first_complete_answer():
    async def scene(world: DeskWorld) -> None:
        world.gateway.failing = True
        found = await world.desk.reconciler.run()
        assert (found.complete, found.clean, found.reason) == (
            False,
            False,
            "kalshi: expected JSON, was HTML",
        )
        assert world.desk.orders.reason(MARKET) == "not reconciled"
        world.gateway.failing = False
        found = await world.desk.reconciler.run()
        assert (found.complete, found.clean) == (True, True)
        assert world.desk.orders.reason(MARKET) == ""

    run(scene)


@pytest.mark.parametrize("part", ["open_orders", "fills", "positions", "balance", "settlements", "brake"])
def test_every_single_answer_is_needed(part: str, monkeypatch: pytest.MonkeyPatch):
    async def scene(world: DeskWorld) -> None:
        async def broken(*_: object) -> None:
            raise KeyError("an adapter's own error")

        monkeypatch.setattr(world.gateway, part, broken)
        assert not (await world.desk.reconciler.run()).complete
        assert world.desk.orders.reason() == "not reconciled"

    run(scene)


@pytest.mark.parametrize("answer", ["unreadable", "none", "adapter error"])
def test_one_look_up_without_an_answer_keeps_nobody_from_trading(
    answer: str, monkeypatch: pytest.MonkeyPatch
):
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send(1)
        await world.send(2, how="late")
        await world.store()
        look_up = world.gateway.look_up

        async def silent(sent: SentOrder) -> OrderReport | None:
            if not sent.order.endswith("-2-0") or not broken:
                return await look_up(sent)
            if answer == "unreadable":
                raise BadAnswer("kalshi", "expected one order, was two")
            if answer == "adapter error":
                raise KeyError("an adapter's own error")
            return await asyncio.Future()

        broken = False
        monkeypatch.setattr(world.gateway, "look_up", silent)
        monkeypatch.setattr(reconcile, "LOOK_UPS_PATIENCE_S", 0.0)
        world.exchange.fill(CLIENT, 4 * ONE)
        world.exchange.events.clear()
        await world.tick(600)
        broken = True
        found = await world.desk.reconciler.run()
        for _ in range(FAILURES_MAX - 1):
            found = await world.desk.reconciler.run()
        # What was heard besides is told in any case.
        assert [fill.quantity for fill in world.published(Fill)] == [4 * ONE]
        assert found.complete == (answer != "adapter error")
        assert (world.desk.orders.reason() == "") == (answer != "adapter error")
        assert world.status(2) is OrderStatus.UNKNOWN
        # Proof takes clean answers in a row.
        for step in (False, True, False) if found.complete else (False,):
            broken = step
            await world.desk.reconciler.run()
            await world.store()
            assert world.status(2) is OrderStatus.UNKNOWN
        await world.desk.reconciler.run()
        await world.store()
        assert world.status(2) is OrderStatus.REJECTED

    run(scene)


def test_the_gate_shuts_after_failures_in_a_row_and_opens_with_the_next_answer():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        world.gateway.failing = True
        for _ in range(FAILURES_MAX - 1):
            await world.desk.reconciler.run()
        assert world.desk.orders.reason() == ""
        await world.desk.reconciler.run()
        assert world.desk.orders.reason() == f"{FAILURES_MAX} reconciliations failed"
        world.gateway.failing = False
        await world.desk.reconciler.run()
        assert world.desk.orders.reason() == ""

    run(scene)


def test_a_heartbeat_only_beats_while_orders_may_rest():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.desk.heartbeat()
        assert world.gateway.beats == 0
        await world.send()
        await world.store()
        await world.desk.heartbeat()
        assert world.gateway.beats == 1

    run(scene)


def test_a_failing_heartbeat_shuts_the_gate_then_cancels_everything():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send(2, how="late")
        await world.send()
        await world.store()
        world.gateway.beat_fails = True
        await world.desk.heartbeat()
        assert world.desk.orders.reason().startswith("heartbeat failed")
        assert world.gateway.cancel_alls == 0
        world.gateway.failing = True
        await world.desk.reconciler.run()
        await world.desk.heartbeat()
        assert world.gateway.cancel_alls == 0
        world.gateway.failing = False
        await world.desk.heartbeat()
        assert world.gateway.cancel_alls == 1
        # What appears late is taken back by the next beat that fails.
        world.gateway.arrive()
        await world.desk.heartbeat()
        assert {order.status for order in world.exchange.orders.values()} == {AckStatus.CANCELED}
        await world.desk.reconciler.run()
        world.gateway.beat_fails = False
        await world.desk.heartbeat()
        # The venue may have cancelled too: only a look at everything opens the gate again.
        assert world.desk.orders.reason() != ""
        await world.desk.reconciler.run()
        await world.store()
        assert world.desk.orders.reason() == ""

    assert run(scene).status() is OrderStatus.CANCELED


def test_a_reconciliation_that_began_before_a_doubt_does_not_lift_it():
    async def scene(world: DeskWorld) -> None:
        ask = world.gateway.positions

        async def doubted() -> dict[str, int]:
            world.desk.gate.invalidate("broker gone")
            return await ask()

        world.gateway.positions = doubted  # type: ignore[method-assign]
        await world.desk.reconciler.run()
        assert world.desk.orders.reason() == "broker gone"
        world.gateway.positions = ask  # type: ignore[method-assign]
        await world.desk.reconciler.run()
        assert world.desk.orders.reason() == ""

    run(scene)


def test_before_a_planned_stop_entries_are_cancelled_and_exits_stay():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send(1)
        await world.send(2, side=Side.SELL, reduce_only=True)
        await world.store()
        await world.desk.withdraw()
        await world.store()

    world = run(scene)
    assert (world.status(1), world.status(2)) == (OrderStatus.CANCELED, OrderStatus.ACCEPTED)
    assert world.desk.orders.reason() == "stopping"


def test_a_venue_that_asks_to_wait_is_given_the_time():
    now = 0.0
    gate = VenueGate(lambda: now)
    gate.record_reconciliation(1, 0)
    gate.pause(2.0)
    gate.pause(0.5)
    assert gate.reason() == "the venue asked to wait"
    now = 2.0
    assert gate.reason() == ""
    gate.pause(0)
    now = 2.0 + PAUSE_S_DEFAULT
    assert gate.reason() == ""


def test_what_the_health_report_says_of_a_venue():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send(how="lost")
        await world.store()

    report = run(scene).desk.report()
    assert report["gate"] == "open"
    assert report["reconciled_at"] > 0
    assert (report["unknown"], report["open"], report["submitted"], report["in_flight"]) == (1, 1, 1, 0)
