"""The desk at one venue: each order leaves once, and what became of it is told as the venue proves it."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

import pytest

from libs.venues.errors import Refused
from libs.venues.gateway import FillReport, OrderReport, Prepared, SentOrder
from proto.execution import OrderStatus, OrderUpdate
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE
from proto.venue import Ack, AckStatus, Fill, StatusReport, TradeStatus
from services.execution.desk import venue_books as module
from services.execution.desk.reconcile import ABSENCE_MARGIN_NS
from tests.support.desk_world import CLIENT, DeskWorld, run_reconciled
from tests.support.order_tape import ORDER, approval, claim, of
from tests.support.scripted_venue import Exchange, ScriptedGateway

S = OrderStatus


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FETCH_WAIT_S", 0.0)


def test_an_order_is_sent_acknowledged_filled():
    async def scene(world: DeskWorld) -> None:
        await world.send()
        await world.store()
        assert world.status() is S.ACCEPTED
        assert world.order().venue_order_id == "v-1"
        world.exchange.fill(CLIENT, 4 * ONE)
        world.exchange.fill(CLIENT, 6 * ONE)
        await world.stream()
        await world.store()

    world = run_reconciled(scene)
    assert world.status() is S.FILLED
    assert [f.fill_id for f in world.published(Fill)] == [
        f"fill:kalshi:t-1:{ORDER}",
        f"fill:kalshi:t-2:{ORDER}",
    ]
    assert [f.strategy for f in world.published(Fill)] == ["momentum", "momentum"]
    assert world.book.cash == world.exchange.cash


def test_a_gateway_is_told_after_a_restart_how_its_orders_were_meant():
    """Kalshi's bodies name one leg only: without this a sold NO is read as a bought YES."""

    class Remembering(ScriptedGateway):
        def __init__(self, exchange: Exchange) -> None:
            super().__init__(exchange)
            self.meant: list[SentOrder] = []

        def remember_order(self, sent: SentOrder) -> None:
            self.meant.append(sent)

    async def scene(world: DeskWorld) -> None:
        event = await world.send()
        await world.store()
        world.gateway = fresh = Remembering(world.exchange)
        world.restart()
        (sent,) = fresh.meant
        assert (sent.order, sent.client_order_id, sent.instrument) == (ORDER, CLIENT, event.instrument)

    world = DeskWorld()
    asyncio.run(scene(world))


def test_a_gateway_is_told_what_our_books_hold_before_it_is_asked_for_payouts():
    """What lost stays in a wallet at Polymarket: nobody is to ask about all of it."""
    published: list[set[str]] = []

    class Asking(ScriptedGateway):
        def set_held_markets(self, markets: Collection[str]) -> None:
            published.append(set(markets))

    async def scene(_: DeskWorld) -> None:
        world.gateway = Asking(world.exchange)
        world.restart()
        await world.desk.reconciler.run()
        event = await world.send(how="filled_at_once")
        await world.stream()
        await world.store()
        await world.desk.reconciler.run()
        world.exchange.settle(event.market, event.instrument, ONE)
        await world.desk.reconciler.run()
        await world.desk.reconciler.run()

    world = DeskWorld()
    asyncio.run(scene(world))
    market = world.approvals[0].market
    assert published == [set(), {market}, {market}, set()]


def test_what_is_sent_again_after_a_refusal_is_asked_for_each_time():
    """A sale of what was just bought waits for the venue: a halt may come meanwhile, or its expiry."""
    said: list[bool] = []

    class Repeating(ScriptedGateway):
        async def submit_while(self, prepared: Prepared, may_send: Callable[[], bool]) -> OrderReport:
            said.append(may_send())
            world.refusal = "halted"
            said.append(may_send())
            world.refusal = ""
            world.desk.gate.invalidate("broker gone")
            said.append(may_send())
            await world.desk.reconciler.run()
            said.append(may_send())
            world.order().cancel_reason = "exit"
            said.append(may_send())
            world.order().cancel_reason = ""
            world.hand.now_s += 60
            said.append(may_send())
            return await self.submit(prepared)

    async def scene(_: DeskWorld) -> None:
        world.gateway = Repeating(world.exchange)
        world.restart()
        await world.desk.reconciler.run()
        await world.send()

    world = DeskWorld()
    asyncio.run(scene(world))
    assert said == [True, False, False, True, False, False]


def test_a_fill_before_the_acknowledgement_is_told_once_its_order_is_known():
    async def scene(world: DeskWorld) -> None:
        world.gateway.script.append("accepted_silently")
        await world.send(how="")
        world.exchange.events.popleft()
        world.exchange.fill(CLIENT, 10 * ONE)
        await world.stream()
        assert world.published(Fill) == []
        await world.store()
        # The machine asked at once, and with the answer came the venue's id.
        assert world.status() is S.FILLED

    assert len(run_reconciled(scene).published(Fill)) == 1


@pytest.mark.parametrize("channel", ["stream", "reconciliation", "both", "thrice"])
def test_a_fill_counts_once_over_three_channels(channel: str):
    async def scene(world: DeskWorld) -> None:
        await world.send(how="filled_at_once")
        await world.desk.tasks.idle()
        fill = world.exchange.trades[0]
        if channel in ("stream", "both", "thrice"):
            world.desk.books.handle_event(fill)
        if channel in ("reconciliation", "both", "thrice"):
            await world.desk.reconciler.run()
        if channel == "thrice":
            world.desk.books.handle_event(fill)
        await world.store()

    world = run_reconciled(scene)
    assert len(world.published(Fill)) == 1
    assert world.book.quantity(world.published(Fill)[0].instrument) == 10 * ONE


def test_an_empty_fill_is_counted_and_not_told():
    async def scene(world: DeskWorld) -> None:
        await world.send()
        world.exchange.trade(world.exchange.orders[CLIENT], 0)
        await world.stream()

    world = run_reconciled(scene)
    assert world.published(Fill) == []
    assert world.desk.report()["empty_fills"] == 1


def test_a_lost_answer_makes_the_order_unknown_at_once_and_it_is_found():
    async def scene(world: DeskWorld) -> None:
        await world.send(how="accepted_silently")
        await world.store(2)
        assert world.published(Ack)[0].status is AckStatus.UNKNOWN
        assert of(OrderUpdate, world.hand.said)[-1].status in (S.UNKNOWN, S.ACCEPTED)
        await world.store()

    world = run_reconciled(scene)
    assert S.UNKNOWN in [u.status for u in of(OrderUpdate, world.hand.said)]
    assert world.status() is S.ACCEPTED


def test_questions_about_an_unknown_order_come_ever_more_slowly():
    async def scene(world: DeskWorld) -> None:
        await world.send(how="lost")
        await world.store()
        asked = []
        for second in range(40):
            before = world.order().asks
            await world.tick()
            if world.order().asks > before:
                asked.append(second + 1)
        assert asked == [1, 3, 7, 15, 25, 35]

    assert run_reconciled(scene).status() is S.UNKNOWN


def test_not_found_proves_nothing_before_the_order_can_no_longer_come():
    async def scene(world: DeskWorld) -> None:
        await world.send(how="late")
        await world.store()
        for _ in range(5):
            await world.tick(8)
            await world.desk.reconciler.run()
            await world.store()
        assert world.status() is S.UNKNOWN
        world.gateway.arrive()
        await world.desk.reconciler.run()
        await world.store()

    assert run_reconciled(scene).status() is S.ACCEPTED


def test_absence_takes_two_clean_reconciliations_after_the_expiry():
    async def scene(world: DeskWorld) -> None:
        event = await world.send(how="lost")
        await world.store()
        await world.tick((event.expires_at + ABSENCE_MARGIN_NS - world.now) // 1_000_000_000 - 1)
        for _ in range(3):
            await world.desk.reconciler.run()
        assert world.published(StatusReport) == []
        await world.tick(1)
        await world.desk.reconciler.run()
        assert world.published(StatusReport) == []
        world.gateway.failing = True
        await world.desk.reconciler.run()
        world.gateway.failing = False
        await world.desk.reconciler.run()
        await world.store()

    world = run_reconciled(scene)
    assert [(r.order, r.found) for r in world.published(StatusReport)] == [(ORDER, False)]
    assert world.status() is S.REJECTED


def test_an_order_recovered_without_its_name_is_freed_once_the_venue_does_not_have_it():
    """After a power cut its claim is made anew, with the order's id for a name; it never left."""

    async def scene(world: DeskWorld) -> None:
        event = approval(1, expires_s=world.hand.now_s + 60)
        world.approve(event)
        made_anew = claim(event).replace(client_order_id=event.order, claimed_at=world.now)
        world.hand.put(made_anew)
        world.desk._started.set()
        world.desk.restore(made_anew, event)
        await world.desk.tasks.idle()
        own = world.desk.registry.get(event.order)
        assert own is not None
        assert own.client_order_id != event.order
        assert world.status() is S.SUBMITTED
        await world.run_until_settled()

    assert run_reconciled(scene).status() is S.REJECTED


def test_a_reconciliation_with_a_difference_does_not_count_towards_absence():
    async def scene(world: DeskWorld) -> None:
        await world.send(how="lost")
        await world.store()
        await world.tick(600)
        # A fill that belongs to nobody we know: perhaps it is the lost order's.
        world.exchange.foreign.clear()
        world.desk.books.facts.fill_facts(_foreign_fill(world))
        for _ in range(4):
            await world.desk.reconciler.run()
        await world.store()

    assert run_reconciled(scene).status() is S.UNKNOWN


def _foreign_fill(world: DeskWorld) -> Any:
    return FillReport(
        trade_id="t-x",
        client_order_id="",
        venue_order_id="v-x",
        instrument="kalshi:X:yes",
        side=Side.BUY,
        price=ONE // 2,
        quantity=ONE,
        fee=0,
        maker=False,
        status=TradeStatus.CONFIRMED,
        at=world.now,
    )


@pytest.mark.parametrize(
    ("how", "reason"), [("refused", "balance"), ("not_sent", "not sent"), ("unavailable", "restarting")]
)
def test_a_definite_no_rejects_the_order(how: str, reason: str):
    async def scene(world: DeskWorld) -> None:
        await world.send(how=how)
        await world.store()

    world = run_reconciled(scene)
    assert world.status() is S.REJECTED
    assert reason in world.published(Ack)[0].reason
    assert world.desk.orders.reason() == ("the venue asked to wait" if how == "unavailable" else "")


def test_an_adapters_own_error_is_an_unknown_outcome():
    async def scene(world: DeskWorld) -> None:
        await world.send(how="broken")
        await world.store(1)

    assert run_reconciled(scene).published(Ack)[0].status is AckStatus.UNKNOWN


def test_a_claimed_order_is_not_sent_through_a_gate_that_closed_meanwhile():
    async def scene(world: DeskWorld) -> None:
        world.refusal = "halted"
        await world.send(how="")
        await world.store()

    world = run_reconciled(scene)
    assert world.gateway.submits == {}
    assert world.status() is S.REJECTED
    assert world.published(Ack)[0].reason == "not sent: halted"


def test_the_answer_may_be_on_the_tape_before_the_claim():
    async def scene(world: DeskWorld) -> None:
        await world.send(how="accepted_silently", copied=False)
        await world.store(1)
        world.hand.put(world.claims[ORDER])
        await world.store()

    assert run_reconciled(scene).status() is S.ACCEPTED


def test_a_cancel_waits_for_the_orders_own_answer_and_tells_the_outcome():
    async def scene(world: DeskWorld) -> None:
        await world.send()
        await world.store()
        world.exchange.fill(CLIENT, 3 * ONE)
        # Neither the fill nor the cancel comes over the user stream.
        world.exchange.events.clear()
        await world.desk.orders.cancel(ORDER)
        assert world.published(Ack)[-1].status is not AckStatus.CANCELED
        await world.desk.tasks.idle()
        await world.store()

    world = run_reconciled(scene)
    assert [type(m) for m in (*world.stored, *world.facts)][-2:] == [Fill, Ack]
    assert (world.status(), world.order().traded) == (S.CANCELED, 3 * ONE)


def test_cancels_and_questions_wait_for_an_order_under_way():
    async def scene(world: DeskWorld) -> None:
        event = approval(1)
        world.approve(event)
        won = world.win(event)
        answer = asyncio.Event()
        send = world.gateway.submit

        async def slowly(prepared: Prepared) -> OrderReport:
            await answer.wait()
            return await send(prepared)

        world.gateway.submit = slowly  # type: ignore[method-assign]
        prepared = world.desk.order_builder.prepare(event, world.now)
        world.desk.begin(won, event, prepared)
        # Told a second time, by a runner that begins anew: nothing is sent again.
        world.desk.begin(won, event, prepared)
        cancelling = asyncio.ensure_future(world.desk.orders.cancel(ORDER))
        await asyncio.sleep(0)
        await world.desk.reconciler.run()
        assert not cancelling.done()
        answer.set()
        await cancelling
        await world.desk.tasks.idle()
        await world.store()
        assert world.exchange.orders[CLIENT].status is AckStatus.CANCELED

    assert run_reconciled(scene).status() is S.CANCELED


def test_a_restarted_desk_asks_and_never_sends_again():
    async def scene(world: DeskWorld) -> None:
        # The process died after the venue had the order and before anything was told.
        await world.send(how="ok")
        world.restart()
        assert world.desk.orders.reason() == "not reconciled"
        world.exchange.fill(CLIENT, 10 * ONE)
        world.exchange.events.clear()
        await world.desk.reconciler.run()
        await world.store()
        assert world.desk.orders.reason() == ""

    world = run_reconciled(scene)
    assert world.status() is S.FILLED
    assert len(world.published(Fill)) == 1


def test_a_restarted_desk_tells_no_fill_twice():
    async def scene(world: DeskWorld) -> None:
        await world.send()
        world.exchange.fill(CLIENT, 4 * ONE)
        await world.stream()
        await world.store()
        world.restart()
        await world.desk.reconciler.run()
        await world.stream()
        await world.store()

    world = run_reconciled(scene)
    assert len(world.published(Fill)) == 1
    assert world.status() is S.PARTIALLY_FILLED


def test_what_the_venue_cannot_express_is_not_claimed():
    world = DeskWorld()
    odd = approval().replace(quantity=ONE + 1, time_in_force=TimeInForce.GTD)
    with pytest.raises(Refused, match="whole hundredths"):
        world.desk.order_builder.prepare(odd, world.now)
