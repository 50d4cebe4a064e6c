"""Binance's REST client and socket against real servers on loopback."""

import asyncio
import json
from contextlib import aclosing

import pytest
from websockets.asyncio.server import ServerConnection, serve

from libs.venues.binance.market_data.normalise import BinanceNormaliser
from libs.venues.binance.market_data.rest import BinanceRest
from libs.venues.binance.market_data.streams import binance_socket, stream_names
from libs.venues.errors import RateLimited, Refused
from libs.venues.transport.websocket import Connected, Received
from proto.feed import Book, Candle
from proto.units import SECOND
from tests.integration.scripted_http import say, scripted_http
from tests.support.normalised import normalised

AT = 1_790_000_000 * SECOND


@pytest.mark.asyncio
async def test_answers_become_frames_that_the_normaliser_reads():
    row = [60_000, "10", "12", "9", "11", "1.5", 119_999, "1", 3, "1", "1", "0"]
    depth = {"lastUpdateId": 1, "bids": [["10", "1"]], "asks": []}
    async with scripted_http() as server:
        rest = BinanceRest(server.url)
        server.script(
            say(200, b'{"serverTime":1700000000000}'),
            say(200, json.dumps([row]).encode(), "X-MBX-USED-WEIGHT-1M: 17\r\n"),
            say(200, json.dumps(depth).encode()),
        )
        normaliser = BinanceNormaliser()
        assert await rest.server_time_ms() == 1_700_000_000_000
        [candle] = normaliser.normalise(await rest.klines("BTCUSDT", "1m", 5_000, start_ms=7), AT)
        assert isinstance(candle, Candle)
        assert rest.used_weight == 17
        book = normaliser.normalise(await rest.depth("BTCUSDT"), AT)[0]
        assert isinstance(book, Book)
        assert [request.path for request in server.requests] == [
            "/api/v3/time",
            "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1000&startTime=7",
            "/api/v3/depth?symbol=BTCUSDT&limit=1000",
        ]
        await rest.close()


@pytest.mark.asyncio
async def test_weights_bans_and_refusals_are_heeded():
    async with scripted_http() as server:
        rest = BinanceRest(server.url)
        server.script(say(400, b'{"code":-1121,"msg":"Invalid symbol."}'))
        with pytest.raises(Refused, match="Invalid symbol") as refused:
            await rest.depth("NOPE")
        assert refused.value.code == "-1121"
        server.script(say(418, b'{"code":-1003,"msg":"banned"}', "Retry-After: 120\r\n"))
        with pytest.raises(RateLimited) as banned:
            await rest.trades("BTCUSDT")
        assert (banned.value.status, banned.value.retry_after_s) == (418, 120.0)
        # Nothing is asked while the ban lasts.
        with pytest.raises(RateLimited, match="our own limit"):
            await rest.server_time_ms()
        assert len(server.requests) == 2
        await rest.close()

        careful = BinanceRest(server.url)
        server.script(say(200, b'{"serverTime":1}', "X-MBX-USED-WEIGHT-1M: 5500\r\n"))
        await careful.server_time_ms()
        assert careful._bucket.wait_s() > 9
        await careful.close()


@pytest.mark.asyncio
async def test_the_socket_changes_over_before_a_day_is_over_and_trades_come_once():
    opened: list[str] = []

    async def handler(connection: ServerConnection) -> None:
        opened.append(connection.request.path)
        first = len(opened)
        for number in range(first, first + 400):
            trade = {"e": "trade", "s": "BTCUSDT", "t": number, "p": "10", "q": "1", "m": False}
            await connection.send(
                json.dumps({"stream": "btcusdt@trade", "data": trade}, separators=(",", ":"))
            )
            await asyncio.sleep(0.005)

    async with serve(handler, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        names = stream_names(["BTCUSDT"], trades="trade")
        socket = binance_socket(names, url, silence_s=5, connection_max_s=0.2)
        normaliser = BinanceNormaliser()
        numbers: list[int] = []
        async with asyncio.timeout(60), aclosing(socket.frames()) as frames:
            async for event in frames:
                if isinstance(event, Received):
                    numbers += [int(t.trade_id) for t in normalised(normaliser, event.data, event.at_ns)]
                elif len(opened) == 3:
                    assert isinstance(event, Connected)
                    assert event.overlapped
                    break
    assert opened == ["/stream?streams=btcusdt@trade/btcusdt@bookTicker"] * 3
    assert numbers == list(range(1, len(numbers) + 1))
    assert normaliser.old > 0
