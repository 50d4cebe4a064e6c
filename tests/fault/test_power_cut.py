"""A power cut: the new epoch starts halted, and the venue proves what became of each order whose claim is lost."""

import time
from pathlib import Path

import pytest

from libs.venues.gateway import NewOrder
from libs.venues.kalshi.trading.orders import client_order_id
from proto.execution import Claim, OrderStatus, OrderUpdate, Unclaimed
from proto.feed import Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from tests.fault.live_execution import LiveExecution, live_execution
from tests.fault.venue_rig import gateway_of
from tools.system.installation import Installation

pytestmark = [pytest.mark.fault, pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

S = OrderStatus
PRICE = 20 * ONE // 100


@pytest.mark.asyncio
async def test_a_machine_that_went_down_opens_a_new_epoch(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "state")
    await installation.start_broker()
    link = await installation.connect()
    try:
        tape, is_new = await installation.open_tape(link)
        assert (is_new, installation.was_cut) == (False, False)
        # The process was killed: the page cache has everything.
        assert await installation.open_tape(link) == (tape, False)
        known = installation.layout.read_tape()
        assert known is not None
        installation.layout.write_tape(known | {"boot": "another"})
        again, is_new = await installation.open_tape(link)
        assert (again, is_new, installation.was_cut) == (f"{tape}e1", True, True)
        # Stopped in order before the machine went down: nothing can be lost.
        installation.record_stop()
        assert await installation.open_tape(link) == (again, False)
    finally:
        await link.close()
        await installation.stop()


async def send_as_before(live: LiveExecution, order: str) -> None:
    """What the process did that went down: the same order under the same name."""
    gateway = gateway_of(live.sandbox, "kalshi")
    await gateway.start()
    new = NewOrder(
        order=order,
        market=live.market,
        instrument=live.instrument,
        side=Side.BUY,
        price=PRICE,
        quantity=10 * ONE,
        time_in_force=TimeInForce.GTC,
        expires_at=time.time_ns() + 60 * SECOND,
        approved_at=time.time_ns(),
    )
    await gateway.submit(gateway.prepare(new))
    await gateway.close()


@pytest.mark.asyncio
async def test_an_order_whose_claim_was_lost_is_found_at_the_venue(tmp_path: Path) -> None:
    """The tape kept two approvals, the ledger no claim. One order is at the venue, the other never left."""
    async with live_execution(tmp_path / "state") as live:
        sent, unsent = await live.approve(price=PRICE), await live.approve(price=PRICE)
        await send_as_before(live, sent)
        await live.begin_epoch()
        live.run()
        # Halted, what rests is cancelled; that it was there and is gone is what the venue says.
        await live.comes_to(sent, S.CANCELED)
        assert live.sent() == [client_order_id(sent)]
        assert {claim.order for claim in live.of(Claim)} == {sent, unsent}
        # Nothing says yet that the other never left: it stays reserved.
        assert live.status(unsent) not in (S.DENIED, S.REJECTED, S.CANCELED, None)
        assert live.of(Unclaimed) == []
        assert [u for u in live.of(OrderUpdate) if u.order == unsent]


@pytest.mark.asyncio
async def test_an_order_whose_decision_outlived_its_claim_is_found_at_the_venue(tmp_path: Path) -> None:
    """The tape kept approval and decision, so that nothing has to be decided anew; the ledger lost the claim."""
    async with live_execution(tmp_path / "state") as live:
        halt = live.installation.layout.halt_file
        # The file keeps this process from claiming; the machine, which knows of no halt, decides.
        halt.write_text("test")
        live.run("before_facts")
        order = await live.approve(price=PRICE)
        await live.ended()
        await live.comes_to(order, S.PENDING_SUBMIT)
        assert (live.of(Claim), live.of(Unclaimed)) == ([], [])
        halt.unlink()
        await send_as_before(live, order)
        await live.begin_epoch()
        live.run()
        await live.comes_to(order, S.CANCELED)
        assert live.sent() == [client_order_id(order)]
        assert [claim.order for claim in live.of(Claim)] == [order]
        assert live.of(Unclaimed) == []
