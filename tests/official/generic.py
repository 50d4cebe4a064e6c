"""What ccxt, which speaks to a hundred exchanges, reads of the sandbox's Binance and Coinbase."""

from typing import Any

import ccxt


def _exchange(urls: dict[str, dict[str, str]], venue: str) -> Any:
    if venue == "binance":
        exchange = ccxt.binance({"options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}})
        exchange.urls["api"]["public"] = urls["binance"]["rest"] + "/api/v3"
    else:
        exchange = ccxt.coinbaseexchange()
        exchange.urls["api"]["public"] = urls["coinbase"]["rest"]
    # The sandbox is on this machine, whatever the environment says of proxies.
    exchange.session.trust_env = False
    return exchange


def read(urls: dict[str, dict[str, str]], venue: str) -> dict[str, Any]:
    """Load the markets, and read ticker, book, trades and candles of the one there is."""
    exchange = _exchange(urls, venue)
    symbols = sorted(exchange.load_markets())
    symbol = symbols[0]
    ticker = exchange.fetch_ticker(symbol)
    book = exchange.fetch_order_book(symbol)
    return {
        "symbols": symbols,
        "tickers": sorted(exchange.fetch_tickers([symbol])),
        "ticker": {key: ticker[key] for key in ("last", "bid", "ask", "baseVolume")},
        "best": [book["bids"][0][0], book["asks"][0][0]],
        "trades": len(exchange.fetch_trades(symbol, limit=50)),
        "candles": len(exchange.fetch_ohlcv(symbol, "1m", limit=10)),
        "precision": exchange.markets[symbol]["precision"],
    }
