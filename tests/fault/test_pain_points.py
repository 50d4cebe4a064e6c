"""What users of other systems lost money by, each at the sandbox: see docs/reference/failures.md for the rest.

Numbers are those of the collection of issues that the list there begins with.
"""

import time
from pathlib import Path

import pytest

from libs.exchange.fees import fee_of
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from libs.venues.transport import http
from proto.execution import OrderStatus, OrderUpdate
from proto.feed import Market, MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Fill, Settlement
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.polymarket.gamma import BASE_FEE
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind, SandboxMarket
from tests.fault.relay import Relay
from tests.fault.venue_rig import CENT, VenueRig, instrument_of, venue_rig

pytestmark = [pytest.mark.fault, pytest.mark.asyncio, pytest.mark.timeout(900)]

S = OrderStatus
OVER = (S.FILLED, S.CANCELED)
PRICE = 40 * CENT


@pytest.fixture(autouse=True)
def ask_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF_S_MIN", 0.01)
    monkeypatch.setattr(http, "BACKOFF_S_MAX", 0.02)


@pytest.mark.parametrize("venue", ["kalshi", "polymarket"])
async def test_pain_point_01_a_fill_or_kill_that_times_out_is_bought_once(tmp_path: Path, venue: str):
    """No answer for five seconds, sent again twice, and all three were filled. Here it is asked about."""
    async with venue_rig(tmp_path, venue) as rig:
        rig.empty()
        rig.other_side(ONE - PRICE, 6 * ONE)
        await rig.of_venue.order_builder.preload_market(f"{venue}:{rig.market.id}")
        rig.faults(
            FaultRule(kind=FaultKind.ACCEPT_THEN_TIMEOUT, operation="order", seconds=0.01),
            FaultRule(kind=FaultKind.SILENT_SOCKET, operation="user_socket"),
            FaultRule(kind=FaultKind.STATUS, operation="read"),
        )
        # The one that was under way is over then, and no later one reads anything: nobody but the order's own
        # answer can tell the fill, and that fails to come.
        assert not (await rig.of_venue.reconciler.run()).complete
        order = await rig.approve(price=PRICE, tif=TimeInForce.FOK, contracts=6)
        await rig.comes_to(order, S.UNKNOWN)
        assert rig.told(Fill) == []
        rig.sandbox.faults.clear()
        await rig.comes_to(order, S.FILLED)
        assert S.REJECTED not in [update.status for update in rig.said if isinstance(update, OrderUpdate)]
        assert len(rig.requests()) == 1
        assert sum(fill.quantity for fill in rig.told(Fill)) == 6 * ONE
        await rig.agreed()


async def test_pain_point_05_fees_are_the_markets_own_whatever_fee_rate_says(tmp_path: Path):
    """`/fee-rate` says 1,000 basis points and the trade another number; charged is the market's schedule."""
    async with venue_rig(tmp_path, "polymarket") as rig:
        gateway = rig.gateway
        assert isinstance(gateway, PolymarketGateway)
        page = await gateway.client.gamma("/markets/keyset", [("limit", 50), ("closed", "false")])
        told = PolymarketNormaliser().normalise(b'{"_rest":"gamma_markets","body":%b}' % page, time.time_ns())
        wanted = f"polymarket:{rig.market.id}"
        schedule = next(m.fees for m in told if isinstance(m, Market) and m.market == wanted)
        for contracts in (5, 17, 40):
            order = await rig.approve(price=rig.ask(), tif=TimeInForce.IOC, contracts=contracts)
            await rig.comes_to(order, *OVER)
        await rig.until(lambda: not rig.of_venue.books.facts.unconfirmed)
        fills = rig.told(Fill)
        assert len(fills) >= 3
        for fill in fills:
            assert fill.fee == fee_of(schedule, fill.price, fill.quantity) > 0
            wrong = fill.price * fill.quantity // ONE * BASE_FEE // 10_000
            assert abs(fill.fee - wrong) > CENT
        # What was charged is what is missing, to the last millionth: the books would drift otherwise.
        await rig.agreed()


async def test_pain_point_10_a_fill_during_an_outage_is_found_and_no_order_is_left_behind(tmp_path: Path):
    """No name, no route, no answer: orders were dropped, and a position stayed that nobody watched."""
    relay = Relay()

    async def through(sandbox: Sandbox) -> dict[str, str]:
        urls = sandbox.urls["kalshi"]
        await relay.open(urls["rest"])
        return {name: relay.through(urls[name]) for name in ("rest", "websocket")}

    async with venue_rig(tmp_path, "kalshi", through) as rig:
        rig.empty()
        resting = await rig.approve(price=PRICE, contracts=5)
        await rig.comes_to(resting, S.ACCEPTED)
        await relay.cut()
        await rig.until(lambda: not rig.of_venue.books.is_stream_up)
        rig.other_side(ONE - PRICE, 3 * ONE)
        # Nothing of it has left: that is proof, and the order is over.
        dropped = await rig.approve(price=PRICE)
        await rig.comes_to(dropped, S.REJECTED, S.DENIED)
        await rig.until(lambda: "reconciliations failed" in rig.reason())
        denied = await rig.approve(price=PRICE)
        assert rig.status(denied) is S.DENIED
        assert rig.held() == {}
        await relay.mend()
        await rig.until(lambda: rig.reason() == "" and rig.of_venue.books.is_stream_up)
        await rig.until(lambda: rig.held() == {instrument_of(rig.market): 3 * ONE})
        assert rig.status(resting) is S.PARTIALLY_FILLED
        assert len(rig.requests()) == 1
        await rig.agreed()
        await relay.cut()


@pytest.mark.parametrize("venue", ["kalshi", "polymarket"])
async def test_pain_point_11_orders_that_rest_survive_a_restart_and_half_an_answer(
    tmp_path: Path, venue: str
):
    """Working orders were lost at the start, and half an answer was taken for a whole one."""
    async with venue_rig(tmp_path, venue) as rig:
        orders = [await rig.approve(price=(n + 2) * CENT) for n in range(3)]
        for order in orders:
            await rig.comes_to(order, S.ACCEPTED)
        rig.faults(FaultRule(kind=FaultKind.STATUS, operation="read", status=502, body="html", skip=4))
        await rig.restart(start=False)
        found = await rig.of_venue.reconciler.run()
        assert not found.complete
        assert rig.reason() == "not reconciled"
        refused = await rig.approve()
        assert rig.status(refused) is S.DENIED
        assert {rig.status(order) for order in orders} == {S.ACCEPTED}
        rig.sandbox.faults.clear()
        await rig.restart()
        assert {rig.status(order) for order in orders} == {S.ACCEPTED}
        await rig.of_venue.orders.cancel(orders[0])
        await rig.comes_to(orders[0], S.CANCELED)
        assert {rig.status(order) for order in orders[1:]} == {S.ACCEPTED}
        assert len(rig.requests()) == 3


async def bought(rig: VenueRig, market: SandboxMarket, *outcomes: int) -> None:
    """Hold some of these outcomes of a market, which nobody else quotes."""
    rig.market = market
    rig.empty()
    for outcome in outcomes:
        rig.other_side(ONE - PRICE, 10 * ONE, outcome=1 - outcome)
        order = await rig.approve(price=PRICE, tif=TimeInForce.IOC, contracts=10, outcome=outcome)
        await rig.comes_to(order, S.FILLED)
    await rig.until(lambda: not rig.of_venue.books.facts.unconfirmed)
    assert {fill.instrument for fill in rig.told(Fill)} == {instrument_of(market, o) for o in outcomes}


async def test_pain_point_14_what_was_not_paid_out_stays_in_the_books(tmp_path: Path):
    """A resolved market whose winnings do not come: they are at stake until the money is there."""
    async with venue_rig(tmp_path, "polymarket") as rig:
        rig.server.options.redeem_after_s = 600.0
        market = min(rig.markets(), key=lambda market: market.close_ns)
        await bought(rig, market, 0, 1)
        await rig.jump(market.close_ns + SECOND)
        await rig.jump_until(lambda: market.status is MarketStatus.SETTLED)
        won = instrument_of(market, market.outcomes.index(market.result))
        lost = instrument_of(market, 1 - market.outcomes.index(market.result))
        await rig.until(lambda: bool(rig.told(Settlement)))
        for _ in range(3):
            found = await rig.of_venue.reconciler.run()
            # What lost stays in the wallet, and is no difference.
            assert (found.complete, found.clean, found.differences) == (True, True, ())
        assert lost in await rig.gateway.positions()
        # It is worth nothing at once; what won is not money yet.
        assert list(rig.held()) == [won]
        assert rig.book.exposure() > 0
        assert rig.book.cash == rig.money()
        await rig.jump(market.close_ns + 800 * SECOND)
        await rig.until(lambda: rig.held() == {})
        assert {s.instrument: s.price for s in rig.told(Settlement)} == {won: ONE, lost: 0}
        assert rig.book.cash == rig.money()


async def test_pain_point_15_a_disputed_market_is_at_stake_until_it_is_void_and_pays_half(tmp_path: Path):
    """Disputed for as long as it takes, then void: fifty cents a contract, for either outcome."""
    async with venue_rig(tmp_path, "polymarket") as rig:
        rig.server.options.redeem_after_s = 0.5
        market = next(
            m
            for m in rig.sandbox.world.markets("polymarket")
            if m.kind is MarketKind.VOID and m.status is MarketStatus.OPEN
        )
        await bought(rig, market, 0)
        quantity = rig.held()[instrument_of(market)]
        await rig.until(lambda: rig.book.exposure() > 0)
        await rig.jump(market.close_ns + SECOND)
        await rig.until(lambda: market.status not in (MarketStatus.OPEN, MarketStatus.SETTLED))
        assert (await rig.of_venue.reconciler.run()).clean
        assert rig.held() == {instrument_of(market): quantity}
        assert rig.told(Settlement) == []
        await rig.jump_until(lambda: market.status is MarketStatus.SETTLED)
        await rig.until(lambda: bool(rig.told(Settlement)))
        assert [(s.instrument, s.price) for s in rig.told(Settlement)] == [(instrument_of(market), ONE // 2)]
        assert rig.held() == {}
        assert rig.book.exposure() == 0
        assert rig.book.cash == rig.money()


async def test_pain_point_08_selling_no_leaves_no_and_both_say_that_it_is_closed(tmp_path: Path):
    """NO was sold in YES's prices, and one side said closed while the other said open."""
    async with venue_rig(tmp_path, "kalshi") as rig:
        rig.empty()
        no = instrument_of(rig.market, 1)
        entry = await rig.approve(price=PRICE, outcome=1)
        await rig.comes_to(entry, S.ACCEPTED)
        rig.other_side(ONE - PRICE, 10 * ONE, outcome=0)
        await rig.comes_to(entry, S.FILLED)
        assert rig.held() == {no: 10 * ONE}
        cost = rig.book.exposure()
        assert cost >= 4 * ONE
        exit_order = await rig.approve(price=45 * CENT, outcome=1, side=Side.SELL, reduce_only=True)
        await rig.comes_to(exit_order, S.ACCEPTED)
        rig.other_side(45 * CENT, 10 * ONE, outcome=1)
        await rig.comes_to(exit_order, S.FILLED)
        assert rig.held() == {}
        sale = rig.told(Fill)[-1]
        assert (sale.instrument, sale.side, sale.price) == (no, Side.SELL, 45 * CENT)
        await rig.agreed()
