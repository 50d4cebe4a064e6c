"""ccxt, unchanged, against the sandbox's Binance and Coinbase: it knows nothing of us, nor we of it."""

import pytest

from sandbox.server import Sandbox
from tests.integration.spot_session import START


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "symbol"), [("binance", "BTC/USDT"), ("coinbase", "BTC/USD")])
async def test_markets_tickers_and_books_are_read(newer_official, name: str, symbol: str) -> None:
    async with Sandbox(7, ["binance", "coinbase"], start_ns=START, live=False) as sandbox:
        await sandbox.world.advance(START + 30 * 10**9)
        found = await newer_official.act("generic.read", urls=sandbox.urls, venue=name)
        assert found["symbols"] == found["tickers"] == [symbol]
        bid, ask = found["best"]
        assert (found["ticker"]["bid"], found["ticker"]["ask"]) == (bid, ask)
        assert bid <= found["ticker"]["last"] * 1.01 <= ask * 1.02
        assert found["ticker"]["baseVolume"] > 0
        assert found["trades"] > 10
        assert found["candles"] == 10
        assert found["precision"]["price"] == 0.01
