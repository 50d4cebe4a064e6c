"""Fills in pieces, twice, too large, or taken back: the books end as the venue's."""

import random
from pathlib import Path

import pytest

from proto.execution import OrderStatus
from proto.risk import TimeInForce
from proto.units import ONE
from proto.venue import Correction, Fill, Reconciliation, TradeStatus
from sandbox.faults.rules import FaultKind, FaultRule
from services.execution.desk import recent_fills
from tests.fault.venue_rig import CENT, VenueRig, instrument_of, venue_rig

pytestmark = [pytest.mark.fault, pytest.mark.soak, pytest.mark.asyncio, pytest.mark.timeout(600)]

S = OrderStatus
VENUES = ("kalshi", "polymarket")
PRICE = 40 * CENT


async def resting(rig: VenueRig, contracts: int = 20) -> str:
    """A purchase at 40 cents in a book that nobody else quotes."""
    order = await rig.approve(price=PRICE, contracts=contracts)
    await rig.comes_to(order, S.ACCEPTED)
    return order


def pieces(quantity: int, count: int, seed: int) -> list[int]:
    """A quantity in so many pieces of whole hundredths of a contract."""
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(1, quantity // CENT), count - 1))
    return [CENT * (b - a) for a, b in zip([0, *cuts], [*cuts, quantity // CENT], strict=True)]


def filled(rig: VenueRig, order: str) -> int:
    return sum(fill.quantity for fill in rig.told(Fill) if fill.order == order)


@pytest.mark.parametrize("venue", VENUES)
async def test_14_fills_in_one_to_twenty_pieces_add_up_exactly(tmp_path: Path, venue: str, count):
    """Reliability 14: sums are exact whatever the pieces, and the order ends when the last one is told."""
    async with venue_rig(tmp_path, venue) as rig:
        rig.empty()
        for number in (1, 2, 7, 20) if count(1, 0) else range(1, 21):
            order = await resting(rig)
            for piece in pieces(20 * ONE, number, seed=number):
                rig.other_side(ONE - PRICE, piece)
            await rig.comes_to(order, S.FILLED)
            found = [fill for fill in rig.told(Fill) if fill.order == order]
            assert len(found) == len({fill.fill_id for fill in found}) == number
            assert filled(rig, order) == 20 * ONE
            assert {fill.price for fill in found} == {PRICE}
        await rig.agreed()
        assert rig.reason() == ""


@pytest.mark.parametrize("venue", VENUES)
async def test_14_more_filled_than_approved_halts_that_market_alone(tmp_path: Path, venue: str):
    async with venue_rig(tmp_path, venue) as rig:
        rig.empty()
        order = await resting(rig, contracts=5)
        rig.faults(FaultRule(kind=FaultKind.OVER_FILL, amount="1", count=1))
        rig.other_side(ONE - PRICE, 5 * ONE)
        await rig.until(lambda: filled(rig, order) == 6 * ONE)
        # What happened is told as it is, and the books stay right; nothing more goes to that market.
        await rig.agreed()
        market = f"{venue}:{rig.market.id}"
        assert rig.reason(market) == "over-filled"
        requests = len(rig.requests())
        refused = await rig.approve()
        assert rig.status(refused) is S.DENIED
        assert len(rig.requests()) == requests
        other = next(m for m in rig.markets() if m is not rig.market)
        assert rig.reason(f"{venue}:{other.id}") == ""
        await rig.restart()
        assert rig.reason(market) == "over-filled"

        def is_told() -> bool:
            last = rig.told(Reconciliation)[-1]
            return "over_fill" in [difference.difference for difference in last.differences]

        await rig.until(is_told)


@pytest.mark.parametrize("venue", VENUES)
async def test_15_a_fill_told_over_every_channel_and_after_a_restart_counts_once(tmp_path: Path, venue: str):
    """Reliability 15: the stream twice, the answers of reconciliations, a reconnect, and a new process."""
    async with venue_rig(tmp_path, venue) as rig:
        rig.faults(FaultRule(kind=FaultKind.DUPLICATE_FILL))
        orders = [await rig.approve(price=rig.ask(), tif=TimeInForce.IOC, contracts=6) for _ in range(3)]
        await rig.until(lambda: all(rig.status(o) in (S.FILLED, S.CANCELED) for o in orders))
        assert rig.sandbox.faults.count(FaultKind.DUPLICATE_FILL) >= 3 or venue == "polymarket"
        rig.faults(FaultRule(kind=FaultKind.CLOSE_SOCKET, operation="user_socket", count=1))
        orders.append(await rig.approve(price=rig.ask(), tif=TimeInForce.IOC, contracts=6))
        await rig.until(lambda: rig.status(orders[-1]) in (S.FILLED, S.CANCELED))
        rig.sandbox.faults.clear()
        await rig.restart()
        for _ in range(3):
            assert (await rig.of_venue.reconciler.run()).complete
        told = [fill.fill_id for fill in rig.told(Fill)]
        assert len(told) == len(set(told)) >= 4
        assert sum(rig.held().values()) == sum(fill.quantity for fill in rig.told(Fill)) > 20 * ONE
        await rig.agreed()
        assert rig.reason() == ""


async def test_15_a_trade_that_fails_after_it_was_matched_is_taken_back(tmp_path: Path):
    async with venue_rig(tmp_path, "polymarket") as rig:
        rig.faults(FaultRule(kind=FaultKind.FAIL_SETTLEMENT, count=1))
        order = await rig.approve(price=rig.ask(), tif=TimeInForce.IOC, contracts=6)
        await rig.until(lambda: bool(rig.told(Correction)))
        assert {fill.order for fill in rig.told(Fill)} == {order}
        kept = await rig.approve(price=rig.ask(), tif=TimeInForce.IOC, contracts=6)
        await rig.until(lambda: not rig.of_venue.books.facts.unconfirmed and filled(rig, kept) > 0)
        failed = [correction.fill_id for correction in rig.told(Correction)]
        assert len(failed) == 1
        await rig.agreed()
        assert rig.held() == {instrument_of(rig.market): filled(rig, kept) + remaining(rig, order, failed)}
        # The reconciliations after it know the trade as failed, and say nothing of it.
        assert (await rig.of_venue.reconciler.run()).differences == ()


def remaining(rig: VenueRig, order: str, failed: list[str]) -> int:
    """What of an order was not taken back."""
    return sum(f.quantity for f in rig.told(Fill) if f.order == order and f.fill_id not in failed)


async def test_15_pain_point_02_a_ghost_fill_is_held_counted_and_not_bought_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Matched and never settled: at stake until the venue says what became of it, and the gate stays sane."""
    # A new fill may be missing from the position for a while; this one is never new.
    monkeypatch.setattr(recent_fills, "MOVING_NS", 0)
    async with venue_rig(tmp_path, "polymarket") as rig:
        rig.server.options.mined_after_s = 3_600.0
        order = await rig.approve(price=rig.ask(), tif=TimeInForce.IOC, contracts=6)
        await rig.until(lambda: filled(rig, order) > 5 * ONE)
        assert rig.book.exposure() > 0
        for _ in range(3):
            found = await rig.of_venue.reconciler.run()
            # The venue's position does not count it, and that is not a difference: it says so itself.
            assert (found.complete, found.clean) == (True, True)
        assert await rig.gateway.positions() == {}
        await rig.restart()
        found = await rig.of_venue.reconciler.run()
        assert (found.clean, found.differences) == (True, ())
        assert rig.of_venue.report()["unconfirmed_fills"] == len(rig.told(Fill)) >= 1
        assert {r.status for r in rig.of_venue.books.facts.unconfirmed.values()} == {TradeStatus.MATCHED}
        assert rig.held() == {instrument_of(rig.market): filled(rig, order)}
        assert len(rig.requests()) == 1
