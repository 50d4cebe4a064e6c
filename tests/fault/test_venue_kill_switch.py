"""What must stop new orders at a real venue and take back those that rest, without the tape saying so."""

import time
from pathlib import Path

import pytest

from libs.venues.polymarket.trading.gateway import PolymarketGateway
from proto.execution import OrderStatus
from sandbox.faults.rules import FaultKind, FaultRule
from tests.fault.venue_rig import VenueRig, venue_rig

pytestmark = [pytest.mark.fault, pytest.mark.asyncio, pytest.mark.timeout(900)]

S = OrderStatus
CANCELLED_WITHIN_S = 60.0
"""Two seconds on a quiet machine: much less than an order of these lives, so it was us who took it back."""


async def resting(rig: VenueRig, count: int = 3) -> list[str]:
    orders = [await rig.approve() for _ in range(count)]
    for order in orders:
        await rig.comes_to(order, S.ACCEPTED)
    return orders


async def all_taken_back(rig: VenueRig, orders: list[str], since: float) -> None:
    await rig.until(lambda: {rig.status(order) for order in orders} == {S.CANCELED})
    assert time.monotonic() - since < CANCELLED_WITHIN_S
    assert await rig.gateway.open_orders() == []


async def nothing_leaves(rig: VenueRig, why: str) -> None:
    requests = len(rig.requests())
    assert why in rig.reason()
    refused = await rig.approve()
    assert rig.status(refused) is S.DENIED
    assert len(rig.requests()) == requests


@pytest.mark.parametrize("venue", ["kalshi", "polymarket"])
async def test_24_a_halt_beside_the_tape_takes_everything_back_and_outlives_the_process(
    tmp_path: Path, venue: str
):
    """Reliability 24: file and core message reach the desk alike, whatever the tape says."""
    async with venue_rig(tmp_path, venue) as rig:
        orders = await resting(rig)
        # One is on its way just then, and arrives when everything has been cancelled; and the venue takes
        # cancels badly: the desk goes on until nothing rests.
        rig.faults(
            FaultRule(kind=FaultKind.DELAY, operation="order", seconds=2.0),
            FaultRule(kind=FaultKind.STATUS, operation="cancel", status=500, count=1),
        )
        sent = len(rig.requests())
        orders.append(await rig.approve())
        await rig.until(lambda: len(rig.requests()) > sent)
        began = time.monotonic()
        rig.halted = True
        await all_taken_back(rig, orders, began)
        await nothing_leaves(rig, "halted")
        await rig.restart(start=False)
        await rig.desk.watch()
        await nothing_leaves(rig, "halted")
        rig.halted = False
        await rig.restart()
        await rig.comes_to(await rig.approve(), S.ACCEPTED)


async def test_24_a_heartbeat_that_fails_stops_new_orders_and_takes_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The dead man's switch from our side: fail closed for entries, cancels and questions go on."""
    # The desk beats only when the test says so: one that failed in between would be the second.
    monkeypatch.setattr(PolymarketGateway, "heartbeat_every_s", 0.0)
    async with venue_rig(tmp_path, "polymarket") as rig:
        orders = await resting(rig)
        rig.faults(FaultRule(kind=FaultKind.STATUS, operation="heartbeat", status=502, body="html"))
        began = time.monotonic()
        await rig.of_venue.heartbeat()
        await nothing_leaves(rig, "heartbeat failed")
        assert {rig.status(order) for order in orders} == {S.ACCEPTED}
        await rig.of_venue.orders.cancel(orders[0])
        await rig.comes_to(orders[0], S.CANCELED)
        await rig.of_venue.heartbeat()
        await all_taken_back(rig, orders, began)
        assert rig.requests("cancel")
        await nothing_leaves(rig, "heartbeat failed")
        rig.sandbox.faults.clear()
        await rig.of_venue.heartbeat()
        await rig.until(lambda: rig.reason() == "")
        # Nothing rests, so nobody has to be kept from cancelling; the next order arms the switch again.
        await rig.comes_to(await rig.approve(), S.ACCEPTED)
        beats = len(rig.requests("heartbeat"))
        await rig.of_venue.heartbeat()
        assert len(rig.requests("heartbeat")) > beats


async def test_24_the_venue_takes_everything_back_when_our_process_is_gone(tmp_path: Path):
    """The dead man's switch from the venue's side: nothing of ours has to work any more."""
    async with venue_rig(tmp_path, "polymarket") as rig:
        options = rig.server.options
        options.heartbeat_s, options.heartbeat_buffer_s = 1.0, 0.2
        orders = await resting(rig)
        await rig.of_venue.heartbeat()
        await rig.close()
        await rig.until(lambda: not any(o.is_working for o in rig.server.exchange.orders.values()))
        options.heartbeat_s = 60.0
        await rig.restart()
        await rig.until(lambda: {rig.status(order) for order in orders} == {S.CANCELED})
        assert len(rig.requests()) == len(orders)
