"""Coinbase of the sandbox: channels, the normaliser that reads them, REST and its limits."""

import json

import aiohttp
import pytest

from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from proto.feed import Side
from proto.units import parse
from sandbox.coinbase.server import CoinbaseServer
from sandbox.faults.rules import FaultKind, FaultRule
from sandbox.world.events import SpotTraded
from sandbox.world.venue_prices import PriceSource
from tests.integration.spot_session import SpotSession
from tests.support.normalised import normalised


class Session(SpotSession):
    venue = "coinbase"

    async def __aenter__(self):
        await super().__aenter__()
        server = self.sandbox.servers["coinbase"]
        assert isinstance(server, CoinbaseServer)
        server.requests_per_s = 1_000.0
        return self

    async def connect(self, *channels):
        socket = await self.session.ws_connect(self.urls["websocket"])
        if channels:
            await socket.send_json(
                {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": list(channels)}
            )
            answer = await self.frame(socket)
            assert answer["type"] == "subscriptions"
        return socket

    async def frame(self, socket):
        return json.loads((await socket.receive(timeout=60)).data)

    async def collect(self, socket, seconds):
        """Frames of so many seconds: an error answer ends them."""
        await self.pass_by(seconds)
        await socket.send_str("{}")
        found = []
        while (frame := await self.frame(socket))["type"] != "error":
            found.append(frame)
        return found


run = Session.run


def test_matches_are_the_worlds_trades_to_our_normaliser():
    async def test(s):
        told = []
        s.sandbox.world.subscribe(
            lambda e: (
                told.append(e) if isinstance(e, SpotTraded) and e.source is PriceSource.COINBASE else None
            )
        )
        await s.pass_by(2)
        socket = await s.connect("matches")
        (last, *found) = await s.collect(socket, 5)
        assert last["type"] == "last_match"
        assert found
        assert all(f["type"] == "match" for f in found)
        normaliser = CoinbaseNormaliser()
        trades = [t for f in (last, *found) for t in normalised(normaliser, json.dumps(f).encode(), 1)]
        assert normaliser.missed == 0
        expected = told[-len(trades) :]
        assert [(t.price, t.quantity, t.aggressor) for t in trades] == [
            (e.price, e.quantity, e.side) for e in expected
        ]
        assert {t.aggressor for t in trades} <= set(Side)

    run(test)


def test_ticker_and_heartbeat():
    async def test(s):
        await s.pass_by(2)
        socket = await s.connect("ticker", {"name": "heartbeat", "product_ids": ["BTC-USD"]})
        found = await s.collect(socket, 5)
        beats = [f for f in found if f["type"] == "heartbeat"]
        tickers = [f for f in found if f["type"] == "ticker"]
        assert len(beats) == 5
        assert tickers
        for ticker in tickers:
            assert parse(ticker["best_bid"]) < parse(ticker["best_ask"])
            assert parse(ticker["low_24h"]) <= parse(ticker["high_24h"])
        sequences = [f["sequence"] for f in found]
        assert sequences == sorted(sequences)

    run(test)


@pytest.mark.parametrize(
    "command",
    [
        "x",
        '{"type":"dance","channels":["matches"]}',
        '{"type":"subscribe","product_ids":["BTC-USD"]}',
        '{"type":"subscribe","product_ids":["DOGE-USD"],"channels":["matches"]}',
        '{"type":"subscribe","product_ids":["BTC-USD"],"channels":["level2"]}',
    ],
)
def test_wrong_subscriptions(command):
    async def test(s):
        socket = await s.connect()
        await socket.send_str(command)
        answer = await s.frame(socket)
        assert (answer["type"], answer["message"]) == ("error", "Failed to subscribe")
        assert answer["reason"]

    run(test)


def test_who_subscribes_to_nothing_is_cut_off():
    async def test(s):
        s.sandbox.servers["coinbase"].subscribe_within_s = 0.05
        socket = await s.connect()
        message = await socket.receive(timeout=60)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        s.sandbox.servers["coinbase"].subscribe_within_s = 0.2
        socket = await s.connect("heartbeat")
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.4)

    run(test)


def test_candles_trades_time_and_ticker():
    async def test(s):
        await s.pass_by(100)
        rows = (await s.http.get("/products/BTC-USD/candles", params={"granularity": 60})).json()
        assert len(rows) == 300
        times = [r[0] for r in rows]
        assert times == sorted(times, reverse=True)
        assert all(low <= min(o, c) <= max(o, c) <= high for _, low, high, o, c, _ in rows)
        start = times[-1] - 3600
        query = {"granularity": 300, "start": str(start), "end": str(times[-1])}
        five = (await s.http.get("/products/BTC-USD/candles", params=query)).json()
        assert {r[0] % 300 for r in five} == {0}
        assert len(five) in (12, 13)
        first = await s.http.get("/products/BTC-USD/trades", params={"limit": 10})
        older = await s.http.get(
            "/products/BTC-USD/trades", params={"limit": 10, "after": first.headers["CB-AFTER"]}
        )
        ids = [t["trade_id"] for t in first.json() + older.json()]
        assert ids == list(range(ids[0], ids[0] - 20, -1))
        now = (await s.http.get("/time")).json()
        assert now["epoch"] == s.sandbox.world.at // 10**6 / 1000
        ticker = (await s.http.get("/products/BTC-USD/ticker")).json()
        assert parse(ticker["bid"]) < parse(ticker["ask"])
        assert ticker["trade_id"] == ids[0]
        book = (await s.http.get("/products/BTC-USD/book", params={"level": 2})).json()
        assert len(book["bids"]) == 20

    run(test)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/products/DOGE-USD/candles", 404),
        ("/products/BTC-USD/candles?granularity=61", 400),
        ("/products/BTC-USD/candles?granularity=60&start=1&end=1000000", 400),
        ("/products/BTC-USD/trades?limit=x", 400),
    ],
)
def test_wrong_requests(path, status):
    async def test(s):
        response = await s.http.get(path)
        assert response.status_code == status
        assert response.json()["message"]

    run(test)


def test_too_many_requests_are_refused():
    async def test(s):
        s.sandbox.servers["coinbase"].requests_per_s = 0.0
        statuses = [(await s.http.get("/time")).status_code for _ in range(17)]
        assert statuses == [200] * 15 + [429] * 2
        s.sandbox.faults.set(FaultRule(kind=FaultKind.STATUS, status=500))
        assert (await s.http.get("/time")).json() == {"message": "Internal server error"}

    run(test)
