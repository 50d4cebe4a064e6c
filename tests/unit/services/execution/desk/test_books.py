"""Reconciliation: our books beside the venue's, what is made good, and what is only told."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from libs.venues.gateway import FillReport, OrderReport
from proto.execution import OrderStatus
from proto.units import ONE, SECOND
from proto.venue import (
    Account,
    AckStatus,
    Correction,
    Fill,
    Reconciliation,
    Settlement,
    StatusReport,
    TradeStatus,
)
from services.execution.desk import venue_books as module
from services.execution.desk.recent_fills import MOVING_NS
from services.execution.desk.reconcile import LOOK_UPS_PATIENCE_S, OVERLAP_NS, PATIENCE_S
from services.execution.desk.unconfirmed import TRACKED_NS
from tests.support.desk_world import CLIENT, DeskWorld, run
from tests.support.order_tape import MARKET, NO, ORDER, YES
from tests.support.scripted_venue import CASH, ScriptedGateway


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_WAIT_S", 0.0)


async def held(world: DeskWorld, contracts: int = 10, status: TradeStatus = TradeStatus.CONFIRMED) -> None:
    """Hold some contracts, long enough for every answer to count them."""
    await world.desk.reconciler.run()
    await world.send()
    await world.store()
    world.exchange.fill(CLIENT, contracts * ONE, status)
    await world.stream()
    await world.store()
    await world.tick(MOVING_NS // SECOND + 1)
    await world.desk.reconciler.run()
    await world.store()


def kinds(found: Reconciliation) -> list[tuple[str, str]]:
    return [(d.difference, d.topic) for d in found.differences]


def test_the_account_begins_with_the_venues_balance_once():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.store()
        world.exchange.cash += 500 * ONE
        world.restart()
        await world.desk.reconciler.run()
        await world.store()

    world = run(scene)
    assert [(a.account_id, a.deposit) for a in world.published(Account)] == [("account:kalshi:start", CASH)]
    assert world.book.cash == CASH


def test_fills_recovered_before_the_account_was_opened_are_not_counted_twice():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send()
        world.exchange.fill(CLIENT, 10 * ONE)
        # Nothing of this was told before the process died.
        world.restart()
        await world.desk.reconciler.run()
        await world.store()

    world = run(scene)
    assert [a.deposit for a in world.published(Account)] == [CASH]
    assert world.book.cash == world.exchange.cash


def test_money_that_comes_from_elsewhere_is_told_and_not_taken_into_the_books():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        world.exchange.cash += ONE
        assert kinds(await world.desk.reconciler.run()) == []
        found = await world.desk.reconciler.run()
        assert kinds(found) == [("balance", "money")]
        assert found.clean
        assert world.desk.orders.reason() == ""
        world.exchange.cash -= ONE
        assert kinds(await world.desk.reconciler.run()) == []

    assert len(run(scene).published(Account)) == 1


def test_a_cent_of_rounding_is_no_difference():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        world.exchange.cash -= ONE // 100
        await world.desk.reconciler.run()
        assert kinds(await world.desk.reconciler.run()) == []

    run(scene)


def test_money_is_not_compared_while_orders_rest():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send()
        await world.store()
        world.exchange.cash -= 5 * ONE
        for _ in range(2):
            assert kinds(await world.desk.reconciler.run()) == []

    run(scene)


def test_a_position_that_fills_do_not_explain_shuts_the_gate_until_it_is_explained():
    async def scene(world: DeskWorld) -> None:
        await held(world)
        world.exchange.extra = {YES: 3 * ONE}
        found = await world.desk.reconciler.run()
        # The first time it may be an answer of a moment ago: asked again in two seconds.
        assert (kinds(found), found.clean, world.desk.reconciler.is_suspicious) == ([], False, True)
        found = await world.desk.reconciler.run()
        assert (kinds(found), found.clean) == ([("position", YES)], False)
        assert (found.differences[0].ours, found.differences[0].theirs) == (10 * ONE, 13 * ONE)
        assert world.desk.orders.reason(MARKET) == f"position of {YES}"
        world.exchange.extra = {}
        await world.desk.reconciler.run()
        assert world.desk.orders.reason(MARKET) == ""

    run(scene)


def test_after_a_restart_a_position_difference_keeps_the_gate_shut():
    async def scene(world: DeskWorld) -> None:
        await held(world)
        world.exchange.extra = {YES: -10 * ONE}
        world.restart()
        await world.desk.reconciler.run()
        assert world.desk.orders.reason() == "not reconciled"
        await world.desk.reconciler.run()
        assert world.desk.orders.reason() == f"position of {YES}"

    run(scene)


def test_a_positions_lag_behind_its_fills_is_no_difference():
    async def scene(world: DeskWorld) -> None:
        await held(world)
        world.exchange.fill(CLIENT, ONE)
        await world.send(2)
        world.exchange.fill("c-tape1-2-0", 2 * ONE)
        await world.stream()
        world.exchange.extra = {YES: -2 * ONE}
        for _ in range(2):
            found = await world.desk.reconciler.run()
            assert (kinds(found), found.clean) == ([], True)
        await world.tick(MOVING_NS // SECOND + 1)
        assert not (await world.desk.reconciler.run()).clean

    run(scene)


def test_a_fill_just_after_positions_were_read_is_no_difference_however_long_the_rest_takes():
    class Slow(ScriptedGateway):
        async def positions(self) -> dict[str, int]:
            before = await super().positions()
            self.exchange.fill(CLIENT, ONE)
            world.hand.now_s += int(PATIENCE_S + LOOK_UPS_PATIENCE_S)
            return before

    async def scene(_: DeskWorld) -> None:
        await held(world, contracts=9)
        world.gateway = Slow(world.exchange)
        world.restart()
        found = await world.desk.reconciler.run()
        assert (kinds(found), found.clean) == ([], True)

    world = DeskWorld()
    asyncio.run(scene(world))
    assert world.desk.books.facts.book.quantity(YES) == 10 * ONE


def test_an_unconfirmed_fill_may_be_missing_from_the_position_for_as_long_as_it_takes():
    async def scene(world: DeskWorld) -> None:
        await held(world, status=TradeStatus.MATCHED)
        world.exchange.extra = {YES: -10 * ONE}
        await world.tick(600)
        assert (await world.desk.reconciler.run()).clean

    run(scene)


@pytest.mark.parametrize("ending", [TradeStatus.FAILED, TradeStatus.CONFIRMED])
@pytest.mark.parametrize("forgotten", [False, True])
def test_a_ghost_fill_is_followed_across_a_restart_hours_later(ending: TradeStatus, forgotten: bool):
    async def scene(world: DeskWorld) -> None:
        await held(world, status=TradeStatus.MATCHED)
        await world.tick(2 * OVERLAP_NS // SECOND)
        await world.desk.reconciler.run()
        await world.store()
        if forgotten:
            del world.machine.state.ended[ORDER]
        # Becomes final while nobody listens.
        world.exchange.settle_trade(0, ending)
        world.exchange.events.clear()
        await world.tick(2 * OVERLAP_NS // SECOND)
        world.restart()
        await world.desk.reconciler.run()
        await world.store()
        await world.desk.reconciler.run()
        assert world.desk.report()["unconfirmed_fills"] == 0
        assert (world.desk.registry.get(ORDER) is None) == forgotten
        assert world.desk.orders.reason() == ""

    world = run(scene)
    assert len(world.published(Correction)) == (ending is TradeStatus.FAILED)
    assert world.book.quantity(YES) == (0 if ending is TradeStatus.FAILED else 10 * ONE)
    assert world.machine.state.venues["kalshi"].unconfirmed == {}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_fill_that_never_becomes_final_is_not_asked_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, restarted: bool
):
    async def scene(world: DeskWorld) -> None:
        await held(world, status=TradeStatus.MATCHED)
        world.restart()
        assert world.desk.report()["unconfirmed_fills"] == 1
        await world.tick(TRACKED_NS // SECOND)
        if restarted:
            world.restart()
            assert world.desk.report()["unconfirmed_fills"] == 0
        await world.desk.reconciler.run()
        await world.store()
        await world.desk.reconciler.run()
        assert world.desk.report()["unconfirmed_fills"] == 0
        assert asked[-1] == world.now - OVERLAP_NS

    asked: list[int] = []
    fills = ScriptedGateway.fills

    async def remembered(gateway: ScriptedGateway, since: int) -> Sequence[FillReport]:
        asked.append(since)
        return await fills(gateway, since)

    monkeypatch.setattr(ScriptedGateway, "fills", remembered)
    run(scene)


def test_what_is_not_ours_is_told_and_left_alone():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        world.exchange.foreign.append(
            OrderReport(
                client_order_id="web-1",
                venue_order_id="v-99",
                instrument=NO,
                status=AckStatus.ACCEPTED,
                remaining=7 * ONE,
            )
        )
        world.exchange.extra = {NO: 5 * ONE}
        await world.desk.reconciler.run()
        found = await world.desk.reconciler.run()
        assert kinds(found) == [("foreign_position", NO), ("foreign_order", "v-99")]
        assert found.clean
        assert found.open_orders == 1
        await world.store()

    world = run(scene)
    assert world.desk.orders.reason(MARKET) == ""
    assert world.published(Fill) == []
    assert world.book.quantity(NO) == 0


def test_an_order_that_works_although_it_ended_is_cancelled_and_told():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send()
        await world.store()
        world.exchange.orders[CLIENT].status = AckStatus.CANCELED
        world.desk.books.handle_event(world.exchange.report(world.exchange.orders[CLIENT]))
        await world.store()
        assert world.status() is OrderStatus.CANCELED
        world.exchange.orders[CLIENT].status = AckStatus.ACCEPTED
        await world.desk.reconciler.run()
        await world.desk.tasks.idle()
        assert world.exchange.orders[CLIENT].status is AckStatus.CANCELED

    run(scene)


def test_orders_that_ended_unseen_are_told_with_their_fills_first():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send()
        await world.store()
        world.exchange.fill(CLIENT, 4 * ONE)
        world.exchange.cancel(CLIENT)
        world.exchange.events.clear()
        await world.desk.reconciler.run()
        await world.store()

    world = run(scene)
    assert (world.status(), world.order().traded) == (OrderStatus.CANCELED, 4 * ONE)


def test_fills_are_asked_for_from_before_the_last_time():
    async def scene(world: DeskWorld) -> None:
        await held(world)
        # A fill that the venue tells late, from between two reconciliations.
        late = msgspec.structs.replace(world.exchange.trades[0], trade_id="t-late", quantity=0)
        world.exchange.trades.append(msgspec.structs.replace(late, at=world.now - OVERLAP_NS + SECOND))
        before = world.desk.report()["empty_fills"]
        await world.desk.reconciler.run()
        assert world.desk.report()["empty_fills"] == before + 1

    run(scene)


def test_fills_of_an_open_order_are_asked_for_from_its_claim_on():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send()
        await world.store()
        world.exchange.trade(world.exchange.orders[CLIENT], 4 * ONE)
        shown = world.exchange.trades.pop()
        world.exchange.events.clear()
        await world.tick(2 * OVERLAP_NS // SECOND)
        await world.desk.reconciler.run()
        await world.store()
        world.exchange.trades.append(shown)
        await world.desk.reconciler.run()

    assert len(run(scene).published(Fill)) == 1


@pytest.mark.parametrize("price", [ONE, 0, ONE // 2])
def test_a_payout_is_told_when_the_money_is_there(price: int):
    async def scene(world: DeskWorld) -> None:
        await held(world)
        assert world.book.exposure() > 0
        world.exchange.settle(MARKET, YES, price)
        # Payouts of what was never ours: the other outcome, and another market.
        world.exchange.settle(MARKET, NO, ONE - price)
        world.exchange.settle("kalshi:OTHER", "kalshi:OTHER:yes", ONE)
        for _ in range(2):
            await world.desk.reconciler.run()
            await world.store()

    world = run(scene)
    assert [(s.instrument, s.price) for s in world.published(Settlement)] == [(YES, price)]
    assert world.book.exposure() == 0
    assert world.book.cash == world.exchange.cash


def test_a_market_that_is_resolved_anew_is_paid_anew():
    """Also where the venue goes on telling the payout of before."""

    async def scene(world: DeskWorld) -> None:
        await held(world)
        before = world.exchange.cash
        for price in (ONE, 0):
            world.exchange.cash = before
            world.exchange.settle(MARKET, YES, price)
            for _ in range(2):
                await world.tick()
                await world.desk.reconciler.run()
                await world.store()

    world = run(scene)
    assert [s.price for s in world.published(Settlement)] == [ONE, 0]
    assert world.book.exposure() == 0
    assert world.book.cash == world.exchange.cash


def test_fills_of_forgotten_orders_do_not_keep_others_unknown():
    """The machine keeps the orders that ended last; the fills of older ones come again all the same."""

    async def scene(world: DeskWorld) -> None:
        await held(world)
        await world.send(2, how="lost")
        await world.store()
        del world.machine.state.ended[ORDER]
        await world.desk.reconciler.run()
        assert world.desk.registry.get(ORDER) is None
        await world.tick(600)
        for _ in range(2):
            found = await world.desk.reconciler.run()
            assert (kinds(found), found.clean) == ([], True)
        await world.store()

    assert run(scene).status(2) is OrderStatus.REJECTED


def test_what_lost_may_stay_at_the_venue_for_ever():
    async def scene(world: DeskWorld) -> None:
        await held(world)
        world.exchange.settle(MARKET, YES, 0)
        await world.desk.reconciler.run()
        await world.store()
        # Worthless contracts are in the wallet until somebody burns them.
        world.exchange.positions = lambda: {YES: 10 * ONE}  # type: ignore[method-assign]
        for _ in range(2):
            found = await world.desk.reconciler.run()
            assert (kinds(found), found.clean) == ([], True)

    assert run(scene).book.quantity(YES) == 0


def test_a_working_order_is_not_reported_again_and_again():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send()
        await world.store()
        for _ in range(3):
            await world.desk.reconciler.run()

    assert run(scene).published(StatusReport) == []


def test_a_fill_nobody_can_read_stops_the_venue():
    async def scene(world: DeskWorld) -> None:
        await world.desk.reconciler.run()
        await world.send()
        await world.store()
        world.exchange.fill(CLIENT, ONE)
        world.exchange.trades[0] = msgspec.structs.replace(world.exchange.trades[0], price=-1)
        found = await world.desk.reconciler.run()
        assert kinds(found) == [("unreadable", f"fill:kalshi:t-1:{ORDER}")]
        assert world.desk.orders.reason().startswith("unreadable")

    assert run(scene).published(Fill) == []
