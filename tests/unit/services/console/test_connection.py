"""Connections that ask for nothing or never to the end, and many of one address: others are answered all the same."""

import asyncio
import contextlib
import socket
from typing import Any

import pytest
import uvicorn
import websockets

from services.console import connection
from services.console.connection import Connection


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Say yes to everything."""
    await receive()
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "open"})
        await receive()
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Server(uvicorn.Server):
    """Started in a loop, beside its clients."""

    def install_signal_handlers(self) -> None:
        """Leave signals to the tests."""


async def with_server(act: Any) -> None:
    """Run ``act`` with the port of a real server."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        answer, http=Connection, ws="websockets-sansio", lifespan="off", log_config=None, limit_concurrency=8
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await act(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await serving


PATIENCE_S = 60.0
GET = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 100\r\n\r\n"


async def answered(reader: asyncio.StreamReader) -> None:
    """Read one answer, which has no body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    assert head.startswith(b"HTTP/1.1 200")


def is_watched(connection_: Connection) -> bool:
    """Whether it is closed unless more comes."""
    return connection_._deadline is not None


def test_idle_connections_keep_nobody_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "REQUEST_S", 0.2)

    async def act(port: int) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        opened[0][1].write(b"GET / HTTP/1.1\r\nhost: slow")
        for reader, writer in opened:
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
            writer.close()
        monkeypatch.setattr(connection, "REQUEST_S", PATIENCE_S)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await answered(reader)
        writer.close()

    asyncio.run(with_server(act))


@pytest.mark.parametrize("begun", [POST, GET[:20]])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_request_that_trickles_is_cut_off(monkeypatch: pytest.MonkeyPatch, begun: bytes, is_first: bool):
    async def act(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if not is_first:
            writer.write(GET)
            await answered(reader)
        monkeypatch.setattr(connection, "REQUEST_S", 0.2)
        writer.write(begun)
        rest = asyncio.create_task(reader.read())
        with contextlib.suppress(ConnectionError):
            while not rest.done():
                writer.write(b"x")
                await writer.drain()
                await asyncio.wait([rest], timeout=0.01)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(rest, PATIENCE_S)
        assert rest.done()
        writer.close()

    asyncio.run(with_server(act))


def remembering(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Every connection that is made from here on."""
    made: list[Connection] = []
    begin = Connection.connection_made

    def remembered(self: Connection, transport: asyncio.Transport) -> None:
        made.append(self)
        begin(self, transport)

    monkeypatch.setattr(Connection, "connection_made", remembered)
    return made


def test_whoever_has_asked_may_wait_for_the_answer_and_ask_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "REQUEST_S", PATIENCE_S)

    async def act(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await answered(reader)
        (one,) = made
        assert not is_watched(one)
        writer.write(GET + GET[:20])
        await answered(reader)
        assert is_watched(one)
        writer.write(GET[20:])
        await answered(reader)
        assert not is_watched(one)
        writer.close()

    made = remembering(monkeypatch)
    asyncio.run(with_server(act))


def test_a_socket_is_held_to_no_deadline_of_a_request(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "REQUEST_S", PATIENCE_S)

    async def act(port: int) -> None:
        async with websockets.connect(f"ws://127.0.0.1:{port}/", proxy=None) as opened:
            assert await asyncio.wait_for(opened.recv(), PATIENCE_S) == "open"
            assert [is_watched(each) for each in made] == [False]

    made = remembering(monkeypatch)
    asyncio.run(with_server(act))


def test_one_address_has_its_share(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Connection, "of_address_max", 2)

    async def act(port: int) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        for _, writer_ in (*kept, (reader, writer)):
            writer_.close()

    asyncio.run(with_server(act))
