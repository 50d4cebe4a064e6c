"""Requests whose answers are lost, late, or nonsense: nothing is sent twice, nothing is forgotten."""

import time
from collections import Counter
from pathlib import Path

import pytest

from libs.venues.transport import http
from proto.execution import OrderStatus, OrderUpdate
from proto.risk import TimeInForce
from proto.units import SECOND
from sandbox import http as sandbox_http
from sandbox.faults.rules import FaultKind, FaultRule
from services.execution.desk import reconcile
from tests.fault.venue_rig import EXPIRES_S, HELD_S, HIGH, LOW, VenueRig, venue_rig

pytestmark = [pytest.mark.fault, pytest.mark.soak, pytest.mark.asyncio, pytest.mark.timeout(600)]

S = OrderStatus
VENUES = ("kalshi", "polymarket")
ENDED_WELL = (S.ACCEPTED, S.FILLED, S.CANCELED)


@pytest.fixture(autouse=True)
def give_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_http, "HELD_S", HELD_S)
    monkeypatch.setattr(http, "BACKOFF_S_MIN", 0.01)
    monkeypatch.setattr(http, "BACKOFF_S_MAX", 0.02)


def all_at_rest(rig: VenueRig) -> bool:
    return all(rig.status(approval.order) in ENDED_WELL for approval in rig.approvals)


@pytest.mark.parametrize("venue", VENUES)
async def test_12_orders_that_time_out_after_they_were_taken_or_appear_late(
    tmp_path: Path, venue: str, count
):
    """Reliability 12: of 200 orders 30 % time out after they were accepted, 5 % appear 40 s late."""
    orders, late_s = count(40, 200), float(count(3, 40))
    async with venue_rig(tmp_path, venue) as rig:
        rig.faults(
            FaultRule(kind=FaultKind.APPEAR_LATE, operation="order", probability=0.05, seconds=late_s),
            FaultRule(kind=FaultKind.APPEAR_LATE, operation="order", skip=7, count=1, seconds=late_s),
            FaultRule(kind=FaultKind.ACCEPT_THEN_TIMEOUT, operation="order", probability=0.3, seconds=HELD_S),
        )
        began = time.monotonic()
        for number in range(orders):
            taking = number % 5 == 0
            await rig.approve(
                price=HIGH if taking else LOW,
                tif=TimeInForce.IOC if taking else TimeInForce.GTC,
                contracts=5 + number % 7,
            )
            # Slower than the limits of the venue: an order that is not sent proves nothing here.
            await rig.until(lambda: rig.reason() == "" and len(rig.of_venue.registry.in_flight) < 8)
        await rig.until(lambda: len(rig.requests()) == orders)
        faults = rig.sandbox.faults
        late, lost = faults.count(FaultKind.APPEAR_LATE), faults.count(FaultKind.ACCEPT_THEN_TIMEOUT)
        assert late >= 1
        assert lost >= orders // 6
        # What is late stays unknown, its exposure reserved, until the venue shows it.
        await rig.until(lambda: all_at_rest(rig), late_s + 60)
        assert time.monotonic() - began > late_s
        doubted = [u.order for u in rig.said if isinstance(u, OrderUpdate) and u.status is S.UNKNOWN]
        assert len(set(doubted)) >= late
        assert len(rig.requests()) == len(rig.sent()) == len(set(rig.sent())) == orders
        await rig.agreed()
        assert rig.reason() == ""


@pytest.mark.parametrize("venue", VENUES)
async def test_12_an_order_that_never_arrives_stays_unknown_and_is_not_sent_again(tmp_path: Path, venue: str):
    async with venue_rig(tmp_path, venue) as rig:
        rig.faults(FaultRule(kind=FaultKind.DROP, operation="order", count=1, seconds=0.2))
        lost = await rig.approve()
        await rig.comes_to(lost, S.UNKNOWN)
        asked = rig.tracked(lost).asks
        await rig.until(lambda: rig.tracked(lost).asks >= asked + 3)
        # A look-up and reconciliations found nothing: that proves nothing yet.
        assert rig.status(lost) is S.UNKNOWN
        await rig.restart()
        await rig.until(lambda: rig.tracked(lost).asks >= asked + 4)
        assert rig.status(lost) is S.UNKNOWN
        assert (len(rig.requests()), rig.sent()) == (1, [])


@pytest.mark.parametrize("venue", VENUES)
async def test_12_hundreds_of_unknown_orders_do_not_keep_the_books_from_agreeing(
    tmp_path: Path, venue: str, count, monkeypatch: pytest.MonkeyPatch
):
    """The soak found it: whoever asks for each of them in every reconciliation never ends one again."""
    at_a_time = count(12, reconcile.MISSING_MAX)
    monkeypatch.setattr(reconcile, "MISSING_MAX", at_a_time)
    orders = count(1, 5) * at_a_time + 5
    async with venue_rig(tmp_path, venue) as rig:
        rig.faults(FaultRule(kind=FaultKind.RESET_CONNECTION, operation="order"))
        for _ in range(orders):
            await rig.approve()
            await rig.until(lambda: len(rig.of_venue.registry.in_flight) < 10)
        await rig.until(lambda: not rig.of_venue.registry.in_flight)
        rig.sandbox.faults.clear()
        await rig.until(lambda: rig.of_venue.registry.unknown_count == orders)
        asked: Counter[int] = Counter()
        rounds = -(-orders // at_a_time)
        for _ in range(rounds):
            assert (await rig.of_venue.reconciler.run()).complete
        # Every one had its turn.
        asked.update(own.asked_in for own in rig.of_venue.registry)
        assert max(asked.values()) <= at_a_time
        assert 0 not in asked
        assert rig.reason() == ""
        # Once their time is over, all of them are proved absent, two looks each.
        rig.of_venue.reconciler.absence_margin_ns = -EXPIRES_S * SECOND
        await rig.until(lambda: rig.of_venue.registry.unknown_count == 0, count(60, 300))
        assert {rig.status(approval.order) for approval in rig.approvals} == {S.REJECTED}
        assert (len(rig.requests()), rig.sent()) == (orders, [])


REJECTED, DOUBTFUL = (S.REJECTED,), (S.UNKNOWN,)
TAKEN = (S.ACCEPTED,)
ANSWERS: list[tuple[str, FaultRule, dict[str, tuple[OrderStatus, ...]]]] = [
    ("500", FaultRule(kind=FaultKind.STATUS, status=500), {}),
    ("500 of an order that was taken", FaultRule(kind=FaultKind.STATUS, carried_out=True), dict.fromkeys(VENUES, TAKEN)),
    ("502 in HTML", FaultRule(kind=FaultKind.STATUS, status=502, body="html"), {}),
    ("nothing in the body", FaultRule(kind=FaultKind.STATUS, status=500, body="empty"), {}),
    ("400 without a word", FaultRule(kind=FaultKind.STATUS, status=400, body="empty"), {}),
    ("400 in HTML", FaultRule(kind=FaultKind.STATUS, status=400, body="html"), {}),
    ("200 that says nothing", FaultRule(kind=FaultKind.STATUS, status=200, body="hollow"), {}),
    ("200 that says nothing of an order that was taken", FaultRule(kind=FaultKind.STATUS, status=200, body="hollow", carried_out=True), dict.fromkeys(VENUES, TAKEN)),
    ("429", FaultRule(kind=FaultKind.RATE_LIMIT, retry_after_s=0.1), dict.fromkeys(VENUES, REJECTED)),
    ("reset", FaultRule(kind=FaultKind.RESET_CONNECTION), {}),
    ("reset of an order that was taken", FaultRule(kind=FaultKind.RESET_CONNECTION, carried_out=True), dict.fromkeys(VENUES, TAKEN)),
]  # fmt: skip
"""Name, fault, and what the order must come to: unknown where nothing is said. "taken" ones are found."""


@pytest.mark.parametrize("venue", VENUES)
async def test_13_no_answer_is_guessed_at_and_no_order_repeated(tmp_path: Path, venue: str, count):
    """Reliability 13: each broken answer 20 times, classified, no crash, no blind retry."""
    each = count(2, 20)
    async with venue_rig(tmp_path, venue) as rig:
        came_to: Counter[tuple[str, OrderStatus]] = Counter()
        for name, rule, expected in ANSWERS:
            rig.faults(FaultRule(**(rule_fields(rule) | {"operation": "order"})))
            for _ in range(each):
                await rig.until(lambda: rig.reason() == "")
                order = await rig.approve()
                await rig.comes_to(order, *expected.get(venue, DOUBTFUL))
                came_to[name, rig.status(order)] += 1
        rig.sandbox.faults.clear()
        assert sum(came_to.values()) == len(ANSWERS) * each == len(rig.requests())
        assert len(rig.sent()) == len(set(rig.sent())) == 3 * each
        # It goes on: neither the gate nor the process took harm.
        await rig.until(lambda: rig.reason() == "")
        await rig.comes_to(await rig.approve(), S.ACCEPTED)


def rule_fields(rule: FaultRule) -> dict[str, object]:
    return {name: getattr(rule, name) for name in rule.__struct_fields__}


@pytest.mark.parametrize("venue", VENUES)
async def test_13_broken_reads_close_the_gate_and_never_the_process(tmp_path: Path, venue: str, count):
    each = count(3, 20)
    broken = [
        FaultRule(kind=FaultKind.STATUS, operation="read", status=500),
        FaultRule(kind=FaultKind.STATUS, operation="read", status=502, body="html"),
        FaultRule(kind=FaultKind.STATUS, operation="read", status=400, body="empty"),
        FaultRule(kind=FaultKind.RESET_CONNECTION, operation="read"),
    ]
    async with venue_rig(tmp_path, venue) as rig:
        order = await rig.approve()
        await rig.comes_to(order, S.ACCEPTED)
        for rule in broken:
            rig.faults(rule)
            for _ in range(each):
                found = await rig.of_venue.reconciler.run()
                assert not found.complete
            assert "reconciliations failed" in rig.reason()
            refused = await rig.approve()
            assert rig.status(refused) is S.DENIED
            rig.sandbox.faults.clear()
            rig.of_venue.books.request_reconciliation()
            await rig.until(lambda: rig.reason() == "")
        assert len(rig.requests()) == 1
        assert rig.status(order) is S.ACCEPTED
        assert time.time_ns() - rig.of_venue.gate.reconciled_at < 30 * SECOND
