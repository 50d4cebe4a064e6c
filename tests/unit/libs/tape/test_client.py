"""The broker's client, while no broker answers it."""

import asyncio

import pytest

from libs.tape.client import TapeClient

ATTEMPTS = 3


class Forwarder:
    """Takes connections while the broker is away: it answers the first one, drops it, and ends all later ones."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        if len(self.tasks) == 1:
            writer.write(b'INFO {"max_payload":1048576}\r\n')
            await reader.readuntil(b"PING\r\n")
            writer.write(b"PONG\r\n")
        else:
            writer.write_eof()
            await reader.read()
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_lines_that_led_to_nobody_are_closed():
    forwarder = Forwarder()
    closed = asyncio.Event()

    async def quiet(_: Exception) -> None:
        """Failed attempts are what this is about."""

    async def on_closed() -> None:
        closed.set()

    client = TapeClient()
    async with await asyncio.start_server(forwarder.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await client.connect(
            f"nats://127.0.0.1:{port}",
            max_reconnect_attempts=ATTEMPTS,
            reconnect_time_wait=0.01,
            error_cb=quiet,
            closed_cb=on_closed,
        )
        async with asyncio.timeout(10):
            await closed.wait()
            await asyncio.gather(*(task for task in forwarder.tasks if task))
    assert len(forwarder.tasks) > ATTEMPTS
