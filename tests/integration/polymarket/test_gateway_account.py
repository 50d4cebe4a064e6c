"""What the gateway learns of its account at the Polymarket sandbox: its keys, its fills, what a market pays."""

from contextlib import AsyncExitStack

import pytest

from proto.feed import MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind
from tests.integration.polymarket.rig import TICK, gateway_of, market_of, new, taking, until
from tests.integration.polymarket.trader import server
from tests.support.sandbox_time import jump, jump_until

pytestmark = pytest.mark.asyncio


async def test_keys_are_derived_once_and_made_when_there_are_none(sandbox: Sandbox):
    fresh = {"private_key": "0x" + "5e" * 32, "signature_type": 0, "funder": ""}
    first, second = gateway_of(sandbox, fresh), gateway_of(sandbox, fresh)
    await first.start()
    await second.start()
    assert first.client.api_key is not None
    assert first.client.api_key == second.client.api_key
    await first.close()
    await second.close()


async def test_pain_point_07_both_sides_of_a_mint_are_told_in_their_own_outcome(sandbox: Sandbox):
    """We buy Down at 0.99 … the other account buys Up: each gets its own outcome, price and role."""
    main = sandbox.credentials["polymarket"]
    stranger = next(row for row in main["others"] if row["address"] != main["address"])
    one, other = gateway_of(sandbox), gateway_of(sandbox, stranger)
    market = market_of(sandbox)
    low, high = (name.lower() for name in market.outcomes)
    for gateway in (one, other):
        await gateway.start()
        await gateway.load_market(f"polymarket:{market.id}")
    bid, ask = market.book.best(0)
    assert bid is not None
    assert ask is not None
    # A better bid than anybody's for the second outcome, met at once by a purchase of the first.
    down = f"polymarket:{market.id}:{high}"
    price = ONE - ask + TICK if ask - bid > TICK else ONE - ask
    await one.submit(one.prepare(new(market, Side.BUY, price, 8 * ONE, instrument=down)))
    await other.submit(other.prepare(new(market, Side.BUY, ONE - price, 8 * ONE)))

    async def filled() -> bool:
        return bool(await one.fills(0)) and bool(await other.fills(0))

    await until(filled)
    made = (await one.fills(0))[0]
    taken = (await other.fills(0))[0]
    assert (made.instrument, made.side, made.maker, made.fee) == (down, Side.BUY, True, 0)
    assert (taken.instrument, taken.side, taken.maker) == (f"polymarket:{market.id}:{low}", Side.BUY, False)
    assert made.price == price
    for gateway in (one, other):
        await gateway.close()


async def test_what_a_resolved_market_pays_is_told_for_each_outcome():
    """A window is bought, closes, is resolved and redeemed: winnings are in the balance."""
    async with (
        Sandbox(seed=11, venues=["polymarket"], windows_from_start=True) as sandbox,
        AsyncExitStack() as cleanup,
    ):
        options = server(sandbox).options
        options.mined_after_s = options.confirmed_after_s = 0.05
        options.redeem_after_s = 0.2
        gateway = gateway_of(sandbox)
        cleanup.push_async_callback(gateway.close)
        await gateway.start()
        windows = [m for m in sandbox.world.markets("polymarket") if m.kind is MarketKind.UPDOWN]
        market = min((m for m in windows if m.status is MarketStatus.OPEN), key=lambda m: m.close_ns)
        await gateway.load_market(f"polymarket:{market.id}")
        # One of the two wins.
        await gateway.submit(gateway.prepare(taking(market)))
        best = market.book.best(1)[1]
        assert best is not None
        other = f"polymarket:{market.id}:{market.outcomes[1].lower()}"
        price = min(99, best // TICK + 3) * TICK
        more = new(market, Side.BUY, price, 6 * ONE, instrument=other, time_in_force=TimeInForce.IOC)
        await gateway.submit(gateway.prepare(more))

        async def paid() -> bool:
            # What lost is over at once, what won when it is redeemed.
            return any(report.price == ONE for report in await gateway.settlements(0))

        await jump(sandbox, market.close_ns + SECOND)
        await jump_until(sandbox, lambda: market.status is MarketStatus.SETTLED)
        await until(paid)
        reports = await gateway.settlements(0)
        assert {report.instrument for report in reports} == {
            f"polymarket:{market.id}:{name.lower()}" for name in market.outcomes
        }
        assert sorted(report.price for report in reports) == [0, ONE]
        winner = next(report.instrument for report in reports if report.price == ONE)
        assert winner == f"polymarket:{market.id}:{market.result.lower()}"
