"""Frames from sockets: a venue on loopback that drops, repeats, floods and talks nonsense."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from libs.venues.frame import FRAME_BYTES_MAX, RawFrame
from proto.feed import Quote, Trade
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.sources import socket_frames
from services.feed.sources.socket_frames import SocketFrames
from services.feed.synthetic import frames
from services.feed.synthetic.book import Change
from tests.support.feed_observer import FeedObserver

TICKER = "KXBTC5M-26NOV211205-05"
YES = f"kalshi:{TICKER}:yes"
TIMEOUT_S = 20.0

Venue = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def venue_at(venue: Venue) -> AsyncIterator[str]:
    async with serve(venue, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


async def read_until(
    source: SocketFrames, normalisers: Normalisers, done: Callable[[FeedObserver, list[DeadFrame]], bool]
) -> tuple[FeedObserver, list[DeadFrame]]:
    """Read as the feed's shell does until ``done`` says so."""
    observer, dead = FeedObserver(), []
    iterator = source.frames()
    async with asyncio.timeout(TIMEOUT_S):
        async for item in iterator:
            out = normalisers.read(item) if isinstance(item, RawFrame) else normalisers.count_lost(item)
            if isinstance(out, DeadFrame):
                dead.append(out)
            else:
                observer.handle_messages(out)
            if done(observer, dead):
                break
    await iterator.aclose()
    return observer, dead


def has_bid(price: int) -> Callable[[FeedObserver, list[DeadFrame]], bool]:
    return lambda observer, _: observer.quotes.get(YES, Quote(instrument=YES, at=0, counter=0)).bid == price


@pytest.mark.asyncio
async def test_subscribes_and_reads_both_venues_from_one_socket() -> None:
    commands: list[dict[str, object]] = []

    async def venue(connection: ServerConnection) -> None:
        commands.append(json.loads(await connection.recv()))
        await connection.send(frames.match(1, 8_000_000, "0.1", "buy", 0).decode())
        await connection.send(frames.snapshot(TICKER, 1, [(400, 5)], [(500, 5)]).decode())
        await connection.send(frames.delta(TICKER, 2, Change("yes", 410, 5), 0).decode())
        await connection.wait_closed()

    async with venue_at(venue) as url:
        source = SocketFrames([url], tickers=[TICKER])
        observer, dead = await read_until(source, Normalisers(), has_bid(410_000))
    assert not dead
    assert [t.price for t in observer.trades] == [80_000_000_000]
    (command,) = commands
    assert command["cmd"] == "subscribe"
    params = command["params"]
    assert isinstance(params, dict)
    assert "orderbook_delta" in params["channels"]
    assert params["market_tickers"] == [TICKER]
    assert params["use_yes_price"] is False


@pytest.mark.asyncio
async def test_lost_frame_is_healed_by_asking_for_a_snapshot() -> None:
    asked: list[dict[str, object]] = []

    async def venue(connection: ServerConnection) -> None:
        await connection.recv()
        for frame in frames.connected()[1:]:
            await connection.send(frame.decode())
        await connection.send(frames.snapshot(TICKER, 1, [(400, 5)], []).decode())
        await connection.send(frames.delta(TICKER, 3, Change("yes", 410, 5), 0).decode())
        asked.append(json.loads(await connection.recv()))
        await connection.send(frames.snapshot(TICKER, 4, [(420, 5)], []).decode())
        await connection.wait_closed()

    async with venue_at(venue) as url:
        normalisers = Normalisers()
        observer, _ = await read_until(SocketFrames([url], normalisers), normalisers, has_bid(420_000))
    assert len(observer.gaps) == 2
    assert asked[0]["params"] == {"sids": [2], "market_tickers": [TICKER], "action": "get_snapshot"}


@pytest.mark.asyncio
async def test_reconnects_and_breaks_the_books_in_between() -> None:
    connections = 0

    async def venue(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await connection.recv()
        await connection.send(frames.snapshot(TICKER, 1, [(400 + 10 * connections, 5)], []).decode())
        if connections < 3:
            connection.transport.abort()
        await connection.wait_closed()

    async with venue_at(venue) as url:
        source = SocketFrames([url])
        observer, _ = await read_until(source, Normalisers(), has_bid(430_000))
    assert source.connects == 3
    # An aborted connection may lose its snapshot on the way; what arrived was broken again.
    assert all(gap.reason == "connection lost" for gap in observer.gaps)


@pytest.mark.asyncio
async def test_nonsense_is_dead_and_the_flow_goes_on() -> None:
    nonsense: list[str | bytes] = [
        "", "nonsense", b"\xff\xfe\x00", "[" * 50_000, '{"type":"orderbook_delta","sid":2,"seq":NaN}',
        '{"type":"match","product_id":"BTC-USD","price":1e999}', "x" * (FRAME_BYTES_MAX + 1),
    ]  # fmt: skip

    async def venue(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(frames.snapshot(TICKER, 1, [(400, 5)], []).decode())
        for message in nonsense:
            await connection.send(message)
        await connection.send(frames.delta(TICKER, 2, Change("yes", 410, 5), 0).decode())
        await connection.wait_closed()

    async with venue_at(venue) as url:
        source = SocketFrames([url])
        observer, dead = await read_until(source, Normalisers(), has_bid(410_000))
    assert len(dead) == len(nonsense)
    assert all(len(d.excerpt) <= 256 and len(d.reason) <= 300 for d in dead)
    assert not observer.gaps
    assert source.connects == 1


@pytest.mark.asyncio
async def test_message_that_would_fill_memory_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_frames, "MESSAGE_BYTES_MAX", 10_000)
    connections = 0

    async def venue(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await connection.recv()
        await connection.send(frames.snapshot(TICKER, 1, [(400 + 10 * connections, 5)], []).decode())
        if connections == 1:
            await connection.send("x" * 20_000)
        await connection.wait_closed()

    async with venue_at(venue) as url:
        observer, dead = await read_until(SocketFrames([url]), Normalisers(), has_bid(420_000))
    assert [d.reason for d in dead] == ["expected a message of at most 10000 bytes"]
    assert {gap.reason for gap in observer.gaps} == {"connection lost"}


@pytest.mark.asyncio
async def test_coinbase_on_its_own_socket_does_not_touch_kalshi() -> None:
    subscribed: list[dict[str, object]] = []
    shown = asyncio.Event()

    async def kalshi(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(frames.snapshot(TICKER, 1, [(400, 5)], []).decode())
        await shown.wait()
        await connection.send(frames.delta(TICKER, 2, Change("yes", 410, 5), 0).decode())
        await connection.wait_closed()

    async def coinbase(connection: ServerConnection) -> None:
        subscribed.append(json.loads(await connection.recv()))
        await connection.send("garbage")
        await connection.send(frames.match(1, 8_000_000, "0.1", "buy", 0).decode())
        shown.set()
        if len(subscribed) == 1:
            connection.transport.abort()
        await connection.wait_closed()

    async with venue_at(kalshi) as one, venue_at(coinbase) as two:
        source = SocketFrames([f"{one}#kalshi", f"{two}#coinbase"])
        observer, dead = await read_until(source, Normalisers(), has_bid(410_000))
    assert subscribed[0]["channels"] == ["matches"]
    assert {d.source for d in dead} <= {"coinbase"}
    assert not observer.gaps
    assert all(isinstance(trade, Trade) for trade in observer.trades)
