"""Coinbase's REST client and socket against real servers on loopback."""

import asyncio
import json
from contextlib import aclosing

import pytest
from websockets.asyncio.server import ServerConnection, serve

from libs.venues.coinbase.market_data.normalise import CoinbaseNormaliser
from libs.venues.coinbase.market_data.rest import CoinbaseRest
from libs.venues.coinbase.market_data.streams import coinbase_socket
from libs.venues.errors import BadAnswer
from libs.venues.transport.websocket import Disconnected, Received
from proto.units import SECOND
from tests.integration.scripted_http import say, scripted_http

AT = 1_790_000_000 * SECOND


@pytest.mark.asyncio
async def test_answers_become_frames_that_the_normaliser_reads():
    async with scripted_http() as server:
        rest = CoinbaseRest(server.url)
        server.script(
            say(200, b'{"iso":"2026-01-01T00:00:00.5Z","epoch":1767225600.5}'),
            say(200, b"[[60,9,12,10,11,1.5]]"),
            say(200, b'[{"trade_id":7,"price":"10","size":"1","side":"sell","time":"x"}]'),
            say(200, b'{"bid":"10","ask":"11"}'),
            say(200, b'{"epoch":"soon"}'),
        )
        normaliser = CoinbaseNormaliser()
        assert await rest.server_time_ms() == 1_767_225_600_500
        frames = [
            await rest.candles("BTC-USD", 60, 10, now_ms=1_000_000_000),
            await rest.trades("BTC-USD"),
            await rest.ticker("BTC-USD"),
        ]
        kinds = [[m.kind for m in normaliser.normalise(frame, AT)] for frame in frames]
        assert kinds == [["feed.candle"], ["feed.trade"], ["feed.book", "feed.quote"]]
        assert server.requests[1].path == "/products/BTC-USD/candles?granularity=60&start=999400&end=1000000"
        with pytest.raises(BadAnswer, match="expected the time"):
            await rest.server_time_ms()
        await rest.close()


@pytest.mark.asyncio
async def test_a_socket_that_only_confirms_subscriptions_is_given_up():
    asked: list[dict] = []

    async def handler(connection: ServerConnection) -> None:
        asked.append(json.loads(await connection.recv()))
        while True:
            await connection.send('{"type":"subscriptions","channels":[]}')
            await asyncio.sleep(0.02)

    async with serve(handler, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        socket = coinbase_socket(["BTC-USD"], url, silence_s=0.3, connection_max_s=60)
        seen = []
        async with asyncio.timeout(60), aclosing(socket.frames()) as frames:
            async for event in frames:
                seen.append(event)
                if isinstance(event, Disconnected):
                    break
    assert asked[0]["product_ids"] == ["BTC-USD"]
    assert asked[0]["channels"] == ["matches", "ticker", "heartbeat"]
    assert seen[-1].reason == "open but silent for 0.3 s"
    assert any(isinstance(event, Received) for event in seen)
