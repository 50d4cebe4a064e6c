"""A sandbox that is started again goes on: accounts, orders, trades and windows stand where they stood."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from libs.exchange.matching_types import LimitOrder
from libs.venues.gateway import LoadsMarkets, NewOrder, SentOrder, VenueGateway
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.auth import KalshiCredentials
from libs.venues.kalshi.trading.gateway import KalshiGateway
from libs.venues.kalshi.trading.options import KalshiOptions
from libs.venues.polymarket import POLYMARKET
from proto.feed import MarketStatus, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from sandbox.server import Sandbox
from sandbox.state_file import read
from sandbox.world.markets import MarketKind, SandboxMarket
from tests.integration.polymarket.rig import gateway_of as polymarket_gateway
from tests.integration.polymarket.rig import until

HOUR_S = 3_600
NAMES = [POLYMARKET, KALSHI]
START_NS = 1_778_709_000 * SECOND
OWNER = "somebody"


def sandbox(path: Path, **more: Any) -> Sandbox:
    return Sandbox(seed=11, venues=NAMES, state_file=path, **more)


async def written(path: Path, world_s: int, **order: Any) -> int:
    """A sandbox without a clock, in which somebody ordered; what his account is worth when it was killed."""
    running = sandbox(path, live=False, start_ns=START_NS)
    account = running.accounts.open(KALSHI, OWNER, 1_000 * ONE)
    await running.start()
    await running.world.advance(START_NS + world_s * SECOND)
    market = market_of(running, KALSHI)
    base = {"order_id": "one", "owner": OWNER, "outcome": 0, "side": Side.BUY, "quantity": 10 * ONE}
    running.world.place(market, LimitOrder(**(base | order)))
    assert running.state_file is not None
    running.state_file.write_changed()
    cash = account.cash
    shutil.copy(path, path.with_name("killed.json"))
    await running.stop()
    return cash


def market_of(running: Sandbox, venue: str) -> SandboxMarket:
    """The open window that trades longest."""
    found = [m for m in running.world.markets(venue) if m.kind is MarketKind.UPDOWN]
    return max((m for m in found if m.status is MarketStatus.OPEN), key=lambda m: m.close_ns)


@pytest.mark.asyncio
@pytest.mark.parametrize("gap_s", [HOUR_S, 60 * HOUR_S])
async def test_windows_that_ended_meanwhile_are_decided_and_paid(tmp_path: Path, gap_s: int):
    cash = await written(tmp_path / "w.json", 5, price=990_000, time_in_force=TimeInForce.IOC)
    assert cash < 1_000 * ONE
    again = sandbox(tmp_path / "killed.json", live=False)
    before = {m.id: m.strike for m in again.world.markets(KALSHI) if m.status is MarketStatus.OPEN}
    await again.world.catch_up(again.world.at + gap_s * SECOND)
    account = again.accounts.get(KALSHI, OWNER)
    assert account is not None
    assert not account.positions
    (payout,) = account.payouts
    assert account.cash == cash + (10 * ONE if payout.price else 0)
    markets = {m.id: m for m in again.world.markets(KALSHI)}
    assert before
    assert all(markets[name].strike == strike for name, strike in before.items())
    assert all(markets[name].status is MarketStatus.SETTLED for name in before)
    quoted = [m for m in markets.values() if m.status is MarketStatus.OPEN]
    assert quoted
    assert all(m.close_ns > again.world.at and None not in m.book.best() for m in quoted)


@pytest.mark.asyncio
async def test_what_rests_goes_on_resting_and_trades_are_numbered_on(tmp_path: Path):
    await written(tmp_path / "w.json", 5, price=10_000)
    again = sandbox(tmp_path / "killed.json", live=False)
    await again.world.catch_up(again.world.at + SECOND)
    market, account = market_of(again, KALSHI), again.accounts.get(KALSHI, OWNER)
    order = market.book.order("one")
    assert account is not None
    assert list(account.open) == ["one"]
    assert order is not None
    assert (order.price, order.remaining) == (10_000, 10 * ONE)
    saved = read(tmp_path / "killed.json", 11, 1.0, NAMES)
    assert saved is not None
    assert market.book.matches >= max(
        row.matches for row in saved.world.markets if row.facts["id"] == market.id
    )


@pytest.mark.asyncio
async def test_price_and_candles_go_on(tmp_path: Path):
    await written(tmp_path / "w.json", 130, price=10_000)
    one, other = sandbox(tmp_path / "w.json", live=False), sandbox(tmp_path / "killed.json", live=False)
    assert one.world.price.now == other.world.price.now
    assert abs(one.world.price.now / 80_000 - 1) > 1e-6
    for source, exchange in one.world.spot.items():
        assert exchange.candles == other.world.spot[source].candles
        starts = [candle.open_ns for candle in exchange.candles]
        assert starts == sorted(set(starts))


def test_another_world_is_not_gone_on_with(tmp_path: Path):
    asyncio.run(written(tmp_path / "w.json", 1, price=10_000))
    path = tmp_path / "killed.json"
    assert read(path, 11, 1.0, NAMES) is not None
    assert read(path, 12, 1.0, NAMES) is None
    assert read(path, 11, 2.0, NAMES) is None
    assert read(path, 11, 1.0, [KALSHI]) is None


def test_a_file_nobody_can_read_is_put_aside(tmp_path: Path):
    path = tmp_path / "w.json"
    path.write_text('{"version": 1, "seed"')
    assert read(path, 11, 1.0, NAMES) is None
    assert not path.exists()
    assert (tmp_path / "w.json.unreadable").exists()


# ── over the sockets ──


def gateways(running: Sandbox) -> dict[str, VenueGateway]:
    urls, row = running.urls[KALSHI], running.credentials[KALSHI]
    credentials = KalshiCredentials(row["key_id"], row["private_key_pem"].encode())
    options = KalshiOptions(rest_url=urls["rest"], websocket_url=urls["websocket"])
    return {POLYMARKET: polymarket_gateway(running), KALSHI: KalshiGateway(credentials, options)}


def order_of(market: SandboxMarket, number: int, price: int, time_in_force: TimeInForce) -> NewOrder:
    now = time.time_ns()
    return NewOrder(
        order=f"restart-{number}-0",
        market=f"{market.venue}:{market.id}",
        instrument=f"{market.venue}:{market.id}:{market.outcomes[0]}",
        side=Side.BUY,
        price=price,
        quantity=8 * ONE,
        time_in_force=time_in_force,
        expires_at=now + 300 * SECOND,
        approved_at=now,
    )


async def books(gateway: VenueGateway) -> tuple[Any, ...]:
    """What a reconciliation asks for."""
    resting = sorted((o.client_order_id, o.filled, o.remaining) for o in await gateway.open_orders())
    fills = sorted(
        (f.trade_id, f.client_order_id, f.price, f.quantity, f.fee) for f in await gateway.fills(0)
    )
    return resting, fills, await gateway.positions(), await gateway.balance()


@pytest.mark.asyncio
@pytest.mark.parametrize("venue", NAMES)
async def test_a_client_finds_everything_it_was_told_after_a_kill(tmp_path: Path, venue: str):
    """The file as it is when the answer arrives is all that a killed process leaves."""
    path = tmp_path / "w.json"
    async with sandbox(path) as running:
        gateway, market = gateways(running)[venue], market_of(running, venue)
        await gateway.start()
        if isinstance(gateway, LoadsMarkets):
            await gateway.load_market(f"{venue}:{market.id}")
        resting = gateway.prepare(order_of(market, 1, 10_000, TimeInForce.GTC))
        taking = gateway.prepare(order_of(market, 2, 990_000, TimeInForce.IOC))
        instrument = order_of(market, 1, 10_000, TimeInForce.GTC).instrument
        await gateway.submit(resting)
        await gateway.submit(taking)
        shutil.copy(path, tmp_path / "killed.json")

        async def arrived() -> bool:
            return bool(await gateway.positions())

        await until(arrived)
        expected = await books(gateway)
        await gateway.close()
    assert expected[0]
    assert expected[1]
    assert expected[2]
    async with sandbox(tmp_path / "killed.json") as again:
        gateway = gateways(again)[venue]
        await gateway.start()
        sent = [
            SentOrder(order=p.order, client_order_id=p.client_order_id, instrument=instrument)
            for p in (resting, taking)
        ]

        async def same() -> bool:
            return await books(gateway) == expected

        await until(same)
        assert all([await gateway.look_up(order) for order in sent])
        await gateway.cancel_all()
        assert await gateway.open_orders() == []
        await gateway.close()


@pytest.mark.asyncio
async def test_a_market_of_a_clients_order_is_there_however_long_he_was_away(tmp_path: Path):
    """He asks about the market of everything he is told."""
    path = tmp_path / "w.json"
    async with sandbox(path) as running:
        traded = {venue: market_of(running, venue) for venue in NAMES}
        for venue, gateway in gateways(running).items():
            await gateway.start()
            if isinstance(gateway, LoadsMarkets):
                await gateway.load_market(f"{venue}:{traded[venue].id}")
            await gateway.submit(gateway.prepare(order_of(traded[venue], 1, 10_000, TimeInForce.GTC)))
            await gateway.close()
        shutil.copy(path, tmp_path / "killed.json")
    again = sandbox(tmp_path / "killed.json", live=False)
    others = {m.id for m in again.world.markets(POLYMARKET)} - {traded[POLYMARKET].id}
    await again.world.catch_up(again.world.at + 60 * HOUR_S * SECOND)
    await again.world.advance(again.world.at + SECOND)
    assert all(again.world.market(venue, market.id) for venue, market in traded.items())
    assert others
    assert not any(again.world.market(POLYMARKET, name) for name in others)
