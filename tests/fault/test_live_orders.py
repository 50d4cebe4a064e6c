"""Real orders at the sandbox's Kalshi, by the execution process itself, which dies at every moment of an order."""

from pathlib import Path

import pytest

from proto.execution import Claim, OrderStatus, Unclaimed
from proto.exit import ExitCancel
from proto.risk import TimeInForce
from proto.venue import Account, Ack, AckStatus, Fill, Reconciliation
from sandbox.faults.rules import FaultKind, FaultRule
from tests.fault.live_execution import CENT, LiveExecution, live_execution

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.timeout(900)]

S = OrderStatus
VENUE = "kalshi"
LOW, HIGH = 2 * CENT, 98 * CENT
"""A price at which a purchase rests, and one at which it trades."""


@pytest.mark.asyncio
@pytest.mark.parametrize("venue", ["kalshi", "polymarket"])
async def test_orders_rest_trade_are_cancelled_and_withdrawn(tmp_path: Path, venue: str):
    async with live_execution(tmp_path / "state", venue) as live:
        await live.trading()
        resting = await live.approve(price=LOW)
        await live.comes_to(resting, S.ACCEPTED)
        crossing = await live.approve(price=HIGH, tif=TimeInForce.IOC, contracts=5)
        await live.comes_to(crossing, S.FILLED, S.CANCELED)
        fills = live.of(Fill)
        assert {fill.order for fill in fills} == {crossing}
        assert len({fill.fill_id for fill in fills}) == len(fills)
        await live.say(ExitCancel(order=resting), "x")
        await live.comes_to(resting, S.CANCELED)
        left = await live.approve(price=LOW)
        await live.comes_to(left, S.ACCEPTED)
        assert await live.stop() == 0
        await live.until(
            lambda: live.status(left) is S.CANCELED or (AckStatus.CANCELED in of_order(live, left))
        )
        assert sorted(live.sent()) == sorted({claim.client_order_id for claim in live.of(Claim)})
        assert [account.deposit for account in live.of(Account)] == [10_000_000_000]
        assert all(found.complete and found.clean for found in live.of(Reconciliation))


def of_order(live: LiveExecution, order: str) -> list[AckStatus]:
    return [ack.status for ack in live.of(Ack) if ack.order == order]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("point", "sent"), [("before_claim", 0), ("after_claim", 0), ("after_submit", 1), ("before_publish", 1)]
)
async def test_execution_dying_at_any_moment_of_a_real_order_sends_it_at_most_once(
    tmp_path: Path, point: str, sent: int
):
    async with live_execution(tmp_path / "state") as live:
        await live.trading(point)
        order = await live.approve(price=LOW)
        assert await live.ended() == -9
        await live.trading()
        if point == "before_claim":
            await live.comes_to(order, S.DENIED)
            assert [u.order for u in live.of(Unclaimed)] == [order]
        elif point == "after_claim":
            # Claimed and never seen by the venue: nobody knows, so nobody releases it yet.
            await live.comes_to(order, S.UNKNOWN)
        else:
            # ``before_publish`` races with the request, which may or may not have left.
            await live.comes_to(order, S.ACCEPTED, S.UNKNOWN)
        arrived = live.sent()
        assert len(arrived) == len(set(arrived)) <= 1
        if point != "before_publish":
            assert len(arrived) == sent
        # It goes on trading.
        other = await live.approve(price=LOW)
        await live.comes_to(other, S.ACCEPTED)
        assert len(live.sent()) == len(set(live.sent()))


@pytest.mark.asyncio
async def test_an_answer_lost_after_the_order_was_taken(tmp_path: Path):
    async with live_execution(tmp_path / "state") as live:
        await live.trading()
        live.sandbox.faults.set(
            FaultRule(kind=FaultKind.ACCEPT_THEN_TIMEOUT, venue=VENUE, operation="order", count=1)
        )
        lost = await live.approve(price=LOW)
        # Later orders do not wait for it.
        other = await live.approve(price=LOW)
        await live.comes_to(other, S.ACCEPTED)
        await live.comes_to(lost, S.ACCEPTED)
        live.sandbox.faults.set(
            FaultRule(kind=FaultKind.RESET_CONNECTION, venue=VENUE, operation="order", count=1)
        )
        never = await live.approve(price=LOW)
        await live.comes_to(never, S.UNKNOWN)
        assert len(live.sent()) == len(set(live.sent())) == 2
        assert len(live.sandbox.arrivals.of(VENUE, "order")) == 3
        assert live.status(never) is S.UNKNOWN


@pytest.mark.asyncio
async def test_a_halt_file_and_a_lost_broker_leave_nothing_resting(tmp_path: Path):
    async with live_execution(tmp_path / "state") as live:
        await live.trading()
        first = await live.approve(price=LOW)
        await live.comes_to(first, S.ACCEPTED)
        halt_file = live.installation.layout.halt_file
        halt_file.touch()
        await live.comes_to(first, S.CANCELED)
        refused = await live.approve(price=LOW)
        await live.comes_to(refused, S.DENIED)
        await live.until(lambda: live.report["gate"] == "halted")
        halt_file.unlink()
        await live.until(lambda: live.gate == "open" and live.report["gate"] == "open")
        second = await live.approve(price=LOW)
        await live.comes_to(second, S.ACCEPTED)
        broker = live.installation.broker
        broker.kill()
        cancels = len(live.sandbox.arrivals.of(VENUE, "cancel"))
        await live.until(lambda: len(live.sandbox.arrivals.of(VENUE, "cancel")) > cancels)
        broker.start()
        await broker.ready()
        live.report = {}
        await live.comes_to(second, S.CANCELED)
        await live.until(lambda: live.gate == "open" and live.report["gate"] == "open")
        third = await live.approve(price=LOW)
        await live.comes_to(third, S.ACCEPTED)
        assert len(live.sent()) == len(set(live.sent())) == 3


@pytest.mark.asyncio
async def test_nothing_leaves_while_the_venue_does_not_answer_whole(tmp_path: Path):
    async with live_execution(tmp_path / "state") as live:
        live.sandbox.faults.set(FaultRule(kind=FaultKind.STATUS, venue=VENUE, operation="read", body="html"))
        live.run()
        await live.until(lambda: live.gate == "not reconciled")
        order = await live.approve(price=LOW)
        await live.comes_to(order, S.DENIED)
        assert live.sent() == []
        live.sandbox.faults.clear()
        await live.until(lambda: live.gate == "open")
