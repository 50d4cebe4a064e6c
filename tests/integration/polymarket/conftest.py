"""Fixtures of the tests at the Polymarket sandbox: one at rest with traders, one running with a gateway."""

from collections.abc import AsyncIterator

import pytest_asyncio

from libs.venues.polymarket.trading.gateway import PolymarketGateway
from sandbox.server import Sandbox
from tests.integration.polymarket.rig import gateway_of, market_of
from tests.integration.polymarket.trader import Trader, server, standing_still, two_traders


@pytest_asyncio.fixture
async def quiet() -> AsyncIterator[Sandbox]:
    async with standing_still() as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def traders(quiet: Sandbox) -> AsyncIterator[list[Trader]]:
    async with two_traders(quiet) as made:
        yield made


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=11, venues=["polymarket"]) as running:
        options = server(running).options
        options.mined_after_s = options.confirmed_after_s = 0.05
        yield running


@pytest_asyncio.fixture
async def gateway(sandbox: Sandbox) -> AsyncIterator[PolymarketGateway]:
    gateway = gateway_of(sandbox)
    await gateway.start()
    await gateway.load_market(f"polymarket:{market_of(sandbox).id}")
    yield gateway
    await gateway.close()
