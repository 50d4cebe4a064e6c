"""Connections that ask for nothing, and many of one address: others are answered all the same."""

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from services.console import connection
from services.console.connection import Connection


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Say yes to everything."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Server(uvicorn.Server):
    """Started in a loop, beside its clients."""

    def install_signal_handlers(self) -> None:
        """Leave signals to the tests."""


async def with_server(act: Any) -> None:
    """Run ``act`` with the port of a real server."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(answer, http=Connection, lifespan="off", log_config=None, limit_concurrency=8)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await act(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await serving


def test_idle_connections_keep_nobody_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "FIRST_REQUEST_S", 0.2)

    async def act(port: int) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        opened[0][1].write(b"GET / HTTP/1.1\r\nhost: slow")
        for reader, writer in opened:
            assert await asyncio.wait_for(reader.read(), 30) == b""
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        assert b"200" in await asyncio.wait_for(reader.readline(), 30)
        writer.close()

    asyncio.run(with_server(act))


def test_one_address_has_its_share(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Connection, "of_address_max", 2)

    async def act(port: int) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        for _, writer_ in (*kept, (reader, writer)):
            writer_.close()

    asyncio.run(with_server(act))
