"""Fixtures of the tests at the Polymarket sandbox."""

from collections.abc import AsyncIterator

import pytest_asyncio

from sandbox.server import Sandbox
from tests.integration.polymarket.trader import Trader, standing_still, two_traders


@pytest_asyncio.fixture
async def quiet() -> AsyncIterator[Sandbox]:
    async with standing_still() as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def traders(quiet: Sandbox) -> AsyncIterator[list[Trader]]:
    async with two_traders(quiet) as made:
        yield made
