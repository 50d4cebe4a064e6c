"""Binance of the sandbox by its documented protocol, and against recorded frames where there are some."""

import json
import time
from itertools import pairwise

import aiohttp
import pytest

from proto.units import parse
from sandbox.binance import rest
from sandbox.faults.rules import FaultKind, FaultRule
from tests.integration.spot_session import START, SpotSession

MINUTE_MS = 60_000


async def frames(socket, count):
    return [json.loads((await socket.receive(timeout=60)).data) for _ in range(count)]


class Session(SpotSession):
    venue = "binance"

    async def connect(self, path, **more):
        return await self.session.ws_connect(self.urls["websocket"] + path, **more)

    async def get(self, path, **query):
        return await self.http.get("/api/v3/" + path, params=query)

    async def collect(self, socket, seconds):
        """Frames of so many seconds: the answer to a last command ends them."""
        await self.pass_by(seconds)
        await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": "end"})
        found: list[dict] = []
        while True:
            (frame,) = await frames(socket, 1)
            if frame.get("id") == "end":
                return found
            found.append(frame)


run = Session.run


def test_raw_streams_carry_the_event_alone():
    async def test(s):
        socket = await s.connect("/ws/btcusdt@trade/btcusdt@aggTrade")
        found = await s.collect(socket, 5)
        trades = [f for f in found if f["e"] == "trade"]
        aggregates = [f for f in found if f["e"] == "aggTrade"]
        assert len(trades) == len(aggregates) > 5
        assert [t["t"] for t in trades] == list(range(trades[0]["t"], trades[0]["t"] + len(trades)))
        for trade in trades:
            assert trade["s"] == "BTCUSDT"
            assert START // 10**6 <= trade["T"] <= s.sandbox.world.at // 10**6
            assert parse(trade["p"]) > 0
            assert len(trade["p"].partition(".")[2]) == len(trade["q"].partition(".")[2]) == 8

    run(test)


def test_combined_streams_and_live_commands():
    async def test(s):
        socket = await s.connect("/stream?streams=btcusdt@bookTicker")
        assert all(f["stream"] == "btcusdt@bookTicker" for f in await s.collect(socket, 3))
        await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
        assert await frames(socket, 1) == [{"result": None, "id": 1}]
        await socket.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 2})
        assert await frames(socket, 1) == [{"result": None, "id": 2}]
        found = await s.collect(socket, 3)
        assert found
        assert {f["stream"] for f in found} == {"btcusdt@trade"}

    run(test)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 3),
        ('{"method":"DANCE","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[7],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["a b"],"id":1}', 2),
        ('{"params":[]}', 2),
    ],
)
def test_wrong_commands_are_answered(text, code):
    async def test(s):
        socket = await s.connect("/ws")
        await socket.send_str(text)
        (answer,) = await frames(socket, 1)
        assert answer["code"] == code
        assert answer["msg"]

    run(test)


def test_who_talks_too_much_is_cut_off():
    async def test(s):
        socket = await s.connect("/ws")
        for i in range(6):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": i})
        while (message := await socket.receive(timeout=60)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    run(test)


def test_pings_carry_a_body_and_connections_end_with_age():
    async def test(s):
        server = s.sandbox.servers["binance"]
        server.ping_every_s, server.max_age_s = 0.05, 0.3
        socket = await s.connect("/ws/btcusdt@trade", autoping=False)
        message = await socket.receive(timeout=60)
        assert message.type is aiohttp.WSMsgType.PING
        assert message.data.isdigit()
        while message.type is aiohttp.WSMsgType.PING:
            await socket.pong(message.data)
            message = await socket.receive(timeout=60)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    run(test)


def test_the_end_is_announced():
    async def test(s):
        socket = await s.connect("/stream?streams=btcusdt@trade")
        await s.sandbox.stop()
        (frame,) = await frames(socket, 1)
        assert frame["stream"] == "!serverShutdown"
        assert frame["data"]["e"] == "serverShutdown"

    run(test)


def test_microseconds_when_asked():
    async def test(s):
        socket = await s.connect("/ws/btcusdt@trade?timeUnit=MICROSECOND")
        found = await s.collect(socket, 3)
        assert all(f["T"] > 10**15 for f in found)
        assert found

    run(test)


def test_running_and_closed_candles():
    async def test(s):
        socket = await s.connect("/ws/btcusdt@kline_1m/btcusdt@trade")
        found = await s.collect(socket, 70)
        candles = [f["k"] for f in found if f["e"] == "kline"]
        (closed,) = [k for k in candles if k["x"]]
        running = [k for k in candles if not k["x"]]
        # One every two seconds; the closed one comes beside them.
        assert 33 <= len(running) <= 36
        # The first half of this minute was before the world began: REST has its trades too.
        span = {"startTime": closed["t"], "endTime": closed["T"], "limit": 1000}
        trades = (await s.get("aggTrades", symbol="BTCUSDT", **span)).json()
        assert (closed["n"], closed["f"], closed["L"]) == (len(trades), trades[0]["a"], trades[-1]["a"])
        assert closed["c"] == trades[-1]["p"]
        assert parse(closed["h"]) == max(parse(t["p"]) for t in trades)
        assert sum(parse(t["q"]) for t in trades) == parse(closed["v"])
        assert sum(parse(t["q"]) for t in trades if not t["m"]) == parse(closed["V"])
        rows = (await s.get("klines", symbol="BTCUSDT", interval="1m", limit=2)).json()
        assert rows[0][:6] == [closed["t"], closed["o"], closed["h"], closed["l"], closed["c"], closed["v"]]
        assert rows[1][0] == closed["t"] + MINUTE_MS

    run(test)


@pytest.mark.parametrize("stream", ["btcusdt@depth@100ms", "btcusdt@depth"])
def test_the_book_is_rebuilt_from_diffs(stream):
    async def test(s):
        socket = await s.connect(f"/ws/{stream}")
        events = await s.collect(socket, 2)
        snapshot = (await s.get("depth", symbol="BTCUSDT", limit=5000)).json()
        # The slow stream is pushed a tenth before each full second.
        events += await s.collect(socket, 9.9)
        book = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        kept = [e for e in events if e["u"] > snapshot["lastUpdateId"]]
        assert kept[0]["U"] <= snapshot["lastUpdateId"] + 1 <= kept[0]["u"]
        for before, event in zip([None, *kept], kept, strict=False):
            assert before is None or event["U"] == before["u"] + 1
            for side, rows in (("bids", event["b"]), ("asks", event["a"])):
                for price, quantity in rows:
                    book[side][price] = quantity
                    if not parse(quantity):
                        del book[side][price]
        now = (await s.get("depth", symbol="BTCUSDT", limit=5000)).json()
        assert now["lastUpdateId"] == kept[-1]["u"]
        assert book == {side: dict(now[side]) for side in ("bids", "asks")}
        assert now["bids"] == sorted(now["bids"], key=lambda r: -parse(r[0]))
        assert parse(now["bids"][0][0]) < parse(now["asks"][0][0])

    run(test)


def test_candles_of_a_second_are_those_of_the_minutes():
    async def test(s):
        seconds = (await s.get("klines", symbol="BTCUSDT", interval="1s", limit=1000)).json()
        minutes = (await s.get("klines", symbol="BTCUSDT", interval="1m", limit=20)).json()
        assert [b[0] - a[0] for a, b in pairwise(seconds)] == [1_000] * 999
        assert all(row[6] == row[0] + 999 for row in seconds)
        whole = [m for m in minutes if m[0] >= seconds[0][0] and m[6] <= seconds[-1][6]]
        assert len(whole) >= 15
        for minute in whole:
            inside = [row for row in seconds if minute[0] <= row[0] <= minute[6]]
            assert (inside[0][1], inside[-1][4]) == (minute[1], minute[4])
            assert max(parse(row[2]) for row in inside) <= parse(minute[2])
            assert min(parse(row[3]) for row in inside) >= parse(minute[3])
            assert sum(row[8] for row in inside) == minute[8]

    run(test)


def test_history_goes_back_and_pages():
    async def test(s):
        start = START // 10**9 // 60 * MINUTE_MS - 2_000 * MINUTE_MS
        first = (await s.get("klines", symbol="BTCUSDT", interval="1m", startTime=start, limit=1000)).json()
        following = first[-1][6] + 1
        second = (
            await s.get("klines", symbol="BTCUSDT", interval="1m", startTime=following, limit=1000)
        ).json()
        rows = first + second
        assert [r[0] for r in rows] == [start + i * MINUTE_MS for i in range(2_000)]
        hours = (await s.get("klines", symbol="BTCUSDT", interval="1h", startTime=start, limit=10)).json()
        inside = [r for r in rows if hours[1][0] <= r[0] <= hours[1][6]]
        assert len(inside) == 60
        assert hours[1][1] == inside[0][1]
        assert hours[1][4] == inside[-1][4]
        assert parse(hours[1][2]) == max(parse(r[2]) for r in inside)
        assert parse(hours[1][5]) == sum(parse(r[5]) for r in inside)
        newest = (await s.get("klines", symbol="BTCUSDT", interval="1m")).json()
        assert len(newest) == 500

    run(test)


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("klines", {"interval": "1m"}, -1102),
        ("klines", {"symbol": "DOGE", "interval": "1m"}, -1121),
        ("klines", {"symbol": "BTCUSDT"}, -1102),
        ("klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": "x"}, -1100),
    ],
)
def test_wrong_requests(path, query, code):
    async def test(s):
        response = await s.get(path, **query)
        assert (response.status_code, response.json()["code"]) == (400, code)

    run(test)


def test_weight_is_counted_then_refused_then_banned(monkeypatch):
    monkeypatch.setattr(rest, "BAN_AFTER", 2)
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)

    async def test(s):
        s.sandbox.servers["binance"]._rest.weight_limit = 10
        response = await s.get("depth", symbol="BTCUSDT", limit=100)
        assert response.headers["X-MBX-USED-WEIGHT-1M"] == "5"
        assert (await s.get("depth", symbol="BTCUSDT", limit=500)).headers["X-MBX-USED-WEIGHT-1M"] == "30"
        assert [(await s.get("ping")).status_code for _ in range(3)] == [429, 418, 418]
        response = await s.get("ping")
        assert int(response.headers["Retry-After"]) > 60
        assert response.json()["code"] == -1003

    run(test)


def test_faults_speak_binance():
    async def test(s):
        s.sandbox.faults.set(FaultRule(kind=FaultKind.RATE_LIMIT, venue="binance", count=1, retry_after_s=9))
        response = await s.get("ping")
        assert (response.status_code, response.json()["code"]) == (429, -1003)
        assert response.headers["Retry-After"] == "9"
        socket = await s.connect("/ws/btcusdt@trade")
        s.sandbox.faults.set(FaultRule(kind=FaultKind.SEQUENCE_GAP, skip=3, count=1))
        ids = [f["t"] for f in await s.collect(socket, 4)]
        assert [b - a for a, b in pairwise(ids)].count(2) == 1

    run(test)


def shape(value):
    """Names and types; numbers in text are told apart from other text."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        return "number" if value.replace(".", "", 1).isdecimal() else "text"
    return type(value).__name__


@pytest.mark.recorded
def test_bodies_have_the_recorded_fields_and_types(recordings):
    folder = recordings / "binance" / "nautilus"

    def recorded(name):
        return json.loads((folder / name).read_text())

    async def test(s):
        await s.pass_by(5)
        pairs: list[tuple[str, str, dict]] = [
            ("spot_http_json/book_ticker_response.json", "ticker/bookTicker", {}),
            ("spot_http_json/depth_response.json", "depth", {}),
            ("spot_http_json/trades_response.json", "trades", {}),
            ("spot_http_json/avg_price_response.json", "avgPrice", {}),
            ("spot_http_json/ticker_price_response.json", "ticker/price", {}),
            ("integration_http/http_spot_market_agg_trades.json", "aggTrades", {}),
        ]
        for name, path, query in pairs:
            expected = recorded(name)
            expected = expected[0] if isinstance(expected, list) else expected
            body = (await s.get(path, symbol="BTCUSDT", **query)).json()
            body = body[0] if isinstance(body, list) else body
            assert shape(body).keys() == shape(expected).keys(), name
            for field, kind in shape(expected).items():
                assert shape(body)[field] == kind, (name, field)
        rows = (await s.get("klines", symbol="BTCUSDT", interval="1m", limit=1)).json()
        assert [shape(x) for x in rows[0]] == [
            shape(x) for x in recorded("spot_http_json/klines_response.json")[0]
        ]
        socket = await s.connect("/stream?streams=btcusdt@trade/btcusdt@bookTicker/btcusdt@aggTrade")
        found = {f["stream"].partition("@")[2]: f for f in await s.collect(socket, 3)}
        # Fields a recording has beyond the documented ones (`b`, `a` of a trade, `st`) are left out here.
        for name, stream in (("trade", "trade"), ("agg_trade", "aggTrade"), ("ticker_book", "bookTicker")):
            expected = shape(recorded(f"integration_ws/ws_spot_{name}.json")["data"])
            ours = shape(found[stream]["data"])
            assert ours.items() <= expected.items(), name

    run(test)


def test_changes_do_not_pile_up_while_nobody_listens():
    async def test(s):
        await s.pass_by(30)
        book = s.sandbox.servers["binance"].book
        assert sum(len(side) for side in book.slow.changed.values()) < 500

    run(test)


def test_the_day_is_told_by_rest_and_every_second_by_the_stream():
    async def test(s):
        socket = await s.connect("/ws/btcusdt@ticker")
        found = await s.collect(socket, 3)
        assert len(found) >= 3
        assert {frame["e"] for frame in found} == {"24hrTicker"}
        row = (await s.get("ticker/24hr", symbol="BTCUSDT")).json()
        assert [(await s.get("ticker/24hr")).json()] == [[row]]
        frame = found[-1]
        assert (frame["o"], frame["h"], frame["n"]) == (row["openPrice"], row["highPrice"], row["count"])
        assert parse(row["lowPrice"]) <= parse(row["weightedAvgPrice"]) <= parse(row["highPrice"])
        assert parse(row["priceChange"]) == parse(row["lastPrice"]) - parse(row["openPrice"])
        assert row["closeTime"] - row["openTime"] == 1_440 * MINUTE_MS
        candles = [
            (await s.get(path, symbol="BTCUSDT", interval="5m", limit=7)).json()
            for path in ("klines", "uiKlines")
        ]
        assert candles[0] == candles[1]
        assert len(candles[0]) == 7

    run(test)
