"""Facts keep their order whatever the broker does, and a process's end does not lose them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from libs.machine.host_state import Fact
from libs.tape.record import TapeRecord
from libs.venues.gateway import OrderReport, Prepared, VenueGateway
from proto.execution import Cancel, Query
from proto.feed import Side
from proto.operator import Verb
from proto.units import ONE
from proto.venue import Ack, AckStatus, Fill, TradeStatus
from services.execution.desk import emergency, venue
from services.execution.desk import live_desk as module
from services.execution.desk.live_desk import BROKER_PATIENCE_S, LiveDesk
from services.execution.desk.queue import CROWDED, FactQueue
from tests.support.desk_world import DeskWorld
from tests.support.order_tape import MARKET, ORDER, TAPE, ack, command, fill
from tests.support.scripted_venue import ScriptedGateway
from tests.support.waiting import until


class Broker:
    """Stores facts, when it is there."""

    def __init__(self) -> None:
        self.stored: list[Fact] = []
        self.there = asyncio.Event()
        self.there.set()

    async def publish(self, fact: Fact) -> None:
        await self.there.wait()
        self.stored.append(fact)


async def drained(queue: FactQueue) -> None:
    running = asyncio.create_task(queue.run())
    while len(queue):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()


def test_facts_leave_in_order(tmp_path: Path):
    async def scene() -> None:
        broker = Broker()
        queue = FactQueue(broker.publish, tmp_path / "facts")
        facts = [Fact(ack(AckStatus.ACCEPTED, f"t-{n}-0"), n, n) for n in range(50)]
        for fact in facts:
            queue.put(fact)
        await drained(queue)
        assert broker.stored == facts

    asyncio.run(scene())


def test_what_waits_while_the_broker_is_away_survives_the_process(tmp_path: Path):
    file = tmp_path / "facts"
    facts = [Fact(fill(1, 4), 7, 5), Fact(ack(AckStatus.CANCELED), 7, 5)]

    async def scene() -> None:
        broker = Broker()
        broker.there.clear()
        queue = FactQueue(broker.publish, file)
        running = asyncio.create_task(queue.run())
        for fact in facts:
            queue.put(fact)
            await asyncio.sleep(0)
            queue.save()
        running.cancel()
        later = FactQueue(broker.publish, file)
        assert list(later) == facts
        broker.there.set()
        await drained(later)
        assert broker.stored == facts
        assert not file.exists()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("damage", "left"),
    [(lambda lines: lines[:-9], 1), (lambda lines: b"\xff" + lines, 2)],
    ids=["torn", "no text"],
)
def test_a_damaged_line_of_the_file_costs_one_fact(
    tmp_path: Path, damage: Callable[[bytes], bytes], left: int
):
    file = tmp_path / "facts"

    async def scene() -> None:
        broker = Broker()
        queue = FactQueue(broker.publish, file)
        queue.put(Fact(fill(1, 4)))
        queue.put(Fact(fill(2, 4)))
        queue.save()
        file.write_bytes(damage(file.read_bytes()))
        assert [f.message for f in FactQueue(broker.publish, file)] == [fill(left, 4)]

    asyncio.run(scene())


class Surrounded:
    """A whole desk over one scripted venue; the test is the broker and the HALT file."""

    def __init__(self, tmp_path: Path) -> None:
        self.world = DeskWorld()
        self.broker = Broker()
        self.away_s = 0.0
        self.halted = False
        gateways: list[VenueGateway] = [self.world.gateway]
        self.desk = LiveDesk(
            gateways,
            self.world.context(
                publish=self.broker.publish,
                spool=tmp_path / "facts",
                away_s=lambda: self.away_s,
                halted=lambda: self.halted,
            ),
        )
        self.venue = self.desk.venues["kalshi"]
        self.world.desk = self.venue

    @property
    def gateway(self) -> ScriptedGateway:
        return self.world.gateway

    async def begin(self) -> None:
        async def no_claim(_: str) -> None:
            return None

        await self.desk.start(no_claim)
        await self.venue.reconciler.run()
        await drained(self.desk.queue)

    def facts(self, kind: type[Any]) -> list[Any]:
        waiting = [fact.message for fact in self.desk.queue]
        return [m for m in (*(f.message for f in self.broker.stored), *waiting) if isinstance(m, kind)]


@pytest.mark.parametrize("why", ["halted", "broker gone"])
def test_a_halt_and_a_lost_broker_cancel_everything_at_the_venue(tmp_path: Path, why: str):
    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        await here.world.send()
        assert here.desk.reason(MARKET) == ""
        here.halted, here.away_s = why == "halted", BROKER_PATIENCE_S * 2 * (why != "halted")
        await here.desk.watch()
        await here.desk.watch()
        assert here.gateway.cancel_alls == 1
        assert here.world.exchange.orders[f"c-{ORDER}"].status is AckStatus.CANCELED
        assert here.desk.reason(MARKET) == why
        assert here.desk.reason("polymarket:x") == "no gateway"
        # A reconciliation meanwhile does not open it, and its end alone does not either.
        await here.venue.reconciler.run()
        assert here.desk.reason(MARKET) == why
        here.halted, here.away_s = False, 0.0
        await here.desk.watch()
        assert here.desk.reason(MARKET) == "reconciling"
        await here.venue.reconciler.run()
        assert here.desk.reason(MARKET) == ""
        assert [a.status for a in here.facts(Ack)][:2] == [AckStatus.ACCEPTED, AckStatus.CANCELED]

    asyncio.run(scene())


def test_cancelling_everything_is_tried_until_the_venue_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(emergency, "AGAIN_S", 0.0)

    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        here.halted = here.gateway.failing = True
        await here.desk.watch()
        await here.desk.watch()
        assert here.gateway.cancel_alls == 0
        here.gateway.failing = False
        await here.desk.watch()
        await here.desk.watch()
        assert here.gateway.cancel_alls == 1

    asyncio.run(scene())


@pytest.mark.parametrize(
    "how", ["in flight", "appears late", "left by the venue", "not to be asked", "adapter error"]
)
def test_nothing_goes_on_resting_while_an_emergency_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
):
    """Reliability 24: what was on its way when everything was cancelled arrives afterwards."""
    monkeypatch.setattr(emergency, "AGAIN_S", 3600.0 if how == "in flight" else 0.0)

    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        gateway, answered = here.gateway, asyncio.Event()
        submit, cancel_all = gateway.submit, gateway.cancel_all

        async def slow(prepared: Prepared) -> OrderReport:
            await answered.wait()
            return await submit(prepared)

        async def adapter_error() -> Any:
            raise KeyError("an adapter's own error")

        async def agrees() -> None:
            gateway.cancel_alls += 1

        if how == "in flight":
            monkeypatch.setattr(gateway, "submit", slow)
        sending = asyncio.create_task(here.world.send(how="late" if how == "appears late" else ""))
        while not here.venue.registry.in_flight and not sending.done():
            await asyncio.sleep(0)
        if how in ("left by the venue", "not to be asked"):
            monkeypatch.setattr(gateway, "cancel_all", agrees)
        if how == "not to be asked":
            monkeypatch.setattr(gateway, "open_orders", adapter_error)
        if how == "adapter error":
            monkeypatch.setattr(gateway, "cancel_all", adapter_error)
        here.halted = True
        await here.desk.watch()
        gateway.arrive()
        answered.set()
        await sending
        assert [o.remaining for o in here.world.exchange.orders.values()] == [10 * ONE]
        monkeypatch.setattr(gateway, "cancel_all", cancel_all)
        await here.desk.watch()
        assert here.world.exchange.orders[f"c-{ORDER}"].status is AckStatus.CANCELED
        assert here.desk.reason(MARKET) == "halted"

    asyncio.run(scene())


def test_an_emergency_does_not_wait_for_a_venue_that_never_says_what_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(emergency, "AGAIN_S", 0.0)
    monkeypatch.setattr(emergency, "CHECK_PATIENCE_S", 0.02)

    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        monkeypatch.setattr(here.gateway, "open_orders", asyncio.Event().wait)
        await here.world.send(how="late")
        here.halted = True
        await here.desk.watch()
        here.gateway.arrive()
        async with asyncio.timeout(60):
            await here.desk.watch()
        assert here.world.exchange.orders[f"c-{ORDER}"].status is AckStatus.CANCELED

    asyncio.run(scene())


def test_an_emergency_asks_seldom_when_nothing_can_rest_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(emergency, "AGAIN_S", 0.0)

    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        here.halted = True
        await here.desk.watch()
        monkeypatch.setattr(here.gateway, "open_orders", None)
        for _ in range(3):
            await here.desk.watch()
        assert here.gateway.cancel_alls == 1

    asyncio.run(scene())


def test_while_the_broker_is_away_facts_go_to_the_file_and_then_onto_the_tape(tmp_path: Path):
    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        await here.world.send()
        here.broker.there.clear()
        running = asyncio.create_task(here.desk.queue.run())
        here.world.exchange.fill(f"c-{ORDER}", 4 * ONE)
        await here.world.stream()
        here.away_s = BROKER_PATIENCE_S * 2
        await here.desk.watch()
        assert (tmp_path / "facts").read_text().count("venue.fill") == 1
        here.broker.there.set()
        while len(here.desk.queue):
            await asyncio.sleep(0)
        running.cancel()
        assert len([f for f in here.broker.stored if isinstance(f.message, Fill)]) == 1

    asyncio.run(scene())


def test_a_disk_without_room_for_facts_keeps_nothing_from_being_cancelled(tmp_path: Path):
    full = tmp_path / "full"

    async def scene() -> None:
        here = Surrounded(full)
        await here.begin()
        await here.world.send()
        assert len(here.desk.queue)
        here.away_s = BROKER_PATIENCE_S * 2
        await here.desk.watch()
        assert here.gateway.cancel_alls == 1
        assert here.desk.reason(MARKET) == "broker gone"
        full.mkdir()
        await here.desk.watch()
        assert len((full / "facts").read_text().splitlines()) == len(here.desk.queue)

    asyncio.run(scene())


def test_an_error_of_an_adapters_own_at_the_start_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(venue, "RETRY_S", 0.01)
    errors = iter([RuntimeError("an odd answer")])

    async def scene() -> None:
        here = Surrounded(tmp_path)

        async def start() -> None:
            for error in errors:
                raise error

        monkeypatch.setattr(here.gateway, "start", start)
        running = asyncio.create_task(here.venue.run())
        await until(lambda: here.desk.reason(MARKET) == "" or running.done())
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())


@pytest.mark.parametrize("published", [False, True])
def test_facts_of_the_process_before_are_in_the_books_before_the_first_comparison(
    tmp_path: Path, published: bool
):
    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        await here.world.send()
        here.world.exchange.fill(f"c-{ORDER}", 4 * ONE, TradeStatus.MATCHED)
        await here.world.stream()
        if published:
            # All of it is on the tape, and the machine has forgotten the order: a fill of it is not final.
            for fact in here.desk.queue:
                here.world.hand.put(fact.message)
            state = here.world.machine.state
            state.live = {}
        else:
            here.desk.queue.save()
        claims = here.world.claims

        async def read(order: str) -> Any:
            return claims.get(order)

        again = LiveDesk([here.gateway], here.world.context(spool=tmp_path / "facts"))
        await again.start(read)
        own = again.venues["kalshi"].registry.get(ORDER)
        assert own is not None
        assert own.traded == 4 * ONE * (not published)
        assert again.venues["kalshi"].report()["unconfirmed_fills"] == 1
        assert again.venues["kalshi"].books.facts.book.quantity(own.approval.instrument) == 4 * ONE
        assert own.client_order_id == f"c-{ORDER}"

    asyncio.run(scene())


def test_too_many_waiting_facts_let_nothing_new_leave(tmp_path: Path):
    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        for number in range(CROWDED + 1):
            here.desk.queue.put(Fact(fill(number, 1)))
        assert here.desk.reason(MARKET) == "facts waiting"

    asyncio.run(scene())


def test_cancels_and_questions_are_acted_on_when_they_are_new(tmp_path: Path):
    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        await here.world.send()
        record = TapeRecord(9, "execution.cancel.x", {}, b"", 0)
        here.desk.observe(record, Cancel(order=ORDER), live=False)
        here.desk.observe(record, Query(order=ORDER), live=False)
        await here.venue.tasks.idle()
        assert here.world.exchange.orders[f"c-{ORDER}"].status is AckStatus.ACCEPTED
        here.desk.observe(record, Cancel(order=f"{TAPE}-99-0"), live=True)
        here.desk.observe(record, Cancel(order=ORDER), live=True)
        here.desk.observe(record, command(Verb.RESUME), live=True)
        await here.venue.tasks.idle()
        assert here.world.exchange.orders[f"c-{ORDER}"].status is AckStatus.CANCELED

    asyncio.run(scene())


def test_the_venues_own_brake_holds_until_a_signed_resume(tmp_path: Path):
    async def scene() -> None:
        here = Surrounded(tmp_path)
        here.gateway.tripped = True
        await here.begin()
        resume, record = command(Verb.RESUME), TapeRecord(9, "operator.command", {}, b"", 0)
        # One of an earlier session, read again at the start, is no decision about it.
        here.desk.observe(record, resume, live=False)
        await here.venue.tasks.idle()
        await here.venue.reconciler.run()
        assert here.desk.reason(MARKET) == "order group triggered"
        report = here.desk.report()["kalshi"]
        assert (report["gate"], report["brake"]) == ("order group triggered",) * 2
        here.gateway.failing = True
        here.desk.observe(record, resume, live=True)
        await here.venue.tasks.idle()
        here.gateway.failing = False
        assert await here.gateway.brake() != ""
        here.desk.observe(record, resume, live=True)
        await here.venue.tasks.idle()
        await here.venue.reconciler.run()
        assert await here.gateway.brake() == ""
        assert (here.desk.reason(MARKET), here.venue.report()["brake"]) == ("", "off")
        # Tripped again: nobody was told yet, so a resume for something else leaves it alone.
        here.gateway.tripped = True
        here.desk.observe(record, resume, live=True)
        await here.venue.tasks.idle()
        assert await here.gateway.brake() != ""

    asyncio.run(scene())


def test_a_planned_stop_tells_how_the_cancelled_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "STOP_PATIENCE_S", 0.2)

    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        await here.world.send()
        await drained(here.desk.queue)
        here.world.hand.put(ack(AckStatus.ACCEPTED))
        await here.desk.stop()
        assert here.desk.reason(MARKET) == "stopping"
        await here.desk.watch()
        assert here.desk.reason(MARKET) == "stopping"
        assert [a.status for a in here.facts(Ack)] == [AckStatus.ACCEPTED, AckStatus.CANCELED]
        # Nobody published it: it waits in the file for the next process.
        assert (tmp_path / "facts").read_text().count("venue.ack") == 1

    asyncio.run(scene())


def test_a_stop_in_an_emergency_leaves_no_exit_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "STOP_PATIENCE_S", 0.2)

    async def scene() -> None:
        here = Surrounded(tmp_path)
        await here.begin()
        await here.world.send(side=Side.SELL, reduce_only=True)
        here.halted = here.gateway.failing = True
        await here.desk.watch()
        here.gateway.failing = False
        await here.desk.stop()
        assert here.world.exchange.orders[f"c-{ORDER}"].status is AckStatus.CANCELED

    asyncio.run(scene())
