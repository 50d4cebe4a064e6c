"""Binance bodies and frames as they were recorded."""

import json
from pathlib import Path

import pytest

from libs.venues.binance.market_data.normalise import BinanceNormaliser
from libs.venues.frame import rest_frame
from proto.feed import Book, Candle, Trade
from proto.units import SECOND
from tests.support.captures import captures, rows_of

pytestmark = pytest.mark.recorded
AT = 1_790_000_000 * SECOND
BODIES = "binance/nautilus/integration_http"


def body(recordings: Path, name: str) -> bytes:
    return (recordings / BODIES / f"http_spot_market_{name}.json").read_bytes()


def test_rest_bodies_become_candles_books_and_trades(recordings):
    normaliser = BinanceNormaliser()
    rows = json.loads(body(recordings, "klines"))
    frame = rest_frame("klines", body(recordings, "klines"), symbol="BTCUSDT", interval="1m")
    candles = normaliser.normalise(frame, AT)
    assert len(candles) == len(rows) > 0
    assert all(isinstance(candle, Candle) for candle in candles)
    out = normaliser.normalise(rest_frame("depth", body(recordings, "depth"), symbol="BTCUSDT"), AT)
    assert isinstance(out[0], Book)
    assert out[0].bids[0].price < out[0].asks[0].price
    for name, kind, symbol in [
        ("trades", "trades", "BTCUSDT"),
        ("historical_trades", "trades", "ETHUSDT"),
        ("agg_trades", "aggTrades", "BNBUSDT"),
    ]:
        [newest] = normaliser.normalise(rest_frame(kind, body(recordings, name), symbol=symbol), AT)
        assert isinstance(newest, Trade)
    ticker = normaliser.normalise(rest_frame("bookTicker", body(recordings, "book_ticker")), AT + SECOND)
    assert any(message.kind == "feed.quote" for message in ticker)


def test_websocket_samples_are_read(recordings):
    normaliser = BinanceNormaliser()
    folder = recordings / "binance/nautilus/integration_ws"
    kinds = {
        name: [m.kind for m in normaliser.normalise((folder / f"ws_spot_{name}.json").read_bytes(), AT)]
        for name in ("agg_trade", "ticker_book", "ticker_24hr")
    }
    assert kinds == {
        "agg_trade": ["feed.trade"],
        "ticker_book": ["feed.book", "feed.quote"],
        "ticker_24hr": [],
    }


def test_every_frame_of_the_captures_is_read(recordings):
    normaliser = BinanceNormaliser()
    frames = prices = 0
    for capture in captures(recordings):
        for row in rows_of(capture, "binance"):
            frames += 1
            out = normaliser.normalise(row["payload"].encode(), row["recv_mono_ns"])
            prices += any(isinstance(message, Trade) for message in out)
    assert frames == normaliser.frames > 50
    assert prices == frames - normaliser.unused - normaliser.old > 50
