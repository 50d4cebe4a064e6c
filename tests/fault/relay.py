"""A network between two ends of a test that can be cut and mended."""

import asyncio
import contextlib
from urllib.parse import urlsplit, urlunsplit

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536


class Relay:
    """Carries bytes from its own port to a server's."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._target: tuple[str, int] = (HOST, 0)
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self, url: str) -> None:
        """Listen for whoever wants to get to the server of an address."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        await self.mend()

    def through(self, url: str) -> str:
        """The address by which a client gets there through the relay."""
        return urlunsplit(urlsplit(url)._replace(netloc=f"{HOST}:{self._port}"))

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self._port)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        """Nobody gets there any more, and who was there is cut off."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(OSError):
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()
