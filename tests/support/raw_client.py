"""A bare client of the broker's protocol, for saying what no decent client would say."""

import asyncio
import json
from types import TracebackType
from typing import Self

PATIENCE_S = 60.0


class RawClient:
    """One connection. ``errors`` are the broker's complaints, ``messages`` what it delivered.

    ``everything`` is what came, subjects, headers and payloads alike.
    """

    def __init__(self, port: int, user: str, password: str) -> None:
        self.errors: list[str] = []
        self.messages: list[tuple[str, bytes]] = []
        self.everything = b""
        self._port = port
        self._connect = {
            "user": user,
            "pass": password,
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "protocol": 1,
            "lang": "raw",
            "version": "1",
        }

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        self._writer.write(b"CONNECT " + json.dumps(self._connect).encode() + b"\r\n")
        try:
            await self.settle()
            assert not self.errors, f"expected to be let in, was {self.errors}"
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def publish(self, subject: str | bytes, payload: bytes, reply: str = "", headers: bytes = b"") -> None:
        """Send a message; ``headers`` is the whole header block, well formed or not."""
        name = subject.encode() if isinstance(subject, str) else subject
        to = f" {reply}".encode() if reply else b""
        if headers:
            sizes = b"%d %d" % (len(headers), len(headers) + len(payload))
            self._writer.write(b"HPUB " + name + to + b" " + sizes + b"\r\n" + headers + payload + b"\r\n")
        else:
            self._writer.write(b"PUB " + name + to + b" %d\r\n" % len(payload) + payload + b"\r\n")

    def subscribe(self, subject: str, number: int = 1) -> None:
        """Subscribe; what comes is in ``messages`` after ``settle``."""
        self._writer.write(f"SUB {subject} {number}\r\n".encode())

    async def settle(self) -> None:
        """Wait until the broker has handled everything sent so far."""
        self._writer.write(b"PING\r\n")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = await self._reader.readline()
                assert line, "expected an open connection, was closed by the broker"
                word = line.split(maxsplit=1)[0] if line.strip() else b""
                if word == b"PONG":
                    return
                if word == b"-ERR":
                    self.errors.append(line.decode(errors="replace").strip())
                elif word in (b"MSG", b"HMSG"):
                    await self._take(line, with_headers=word == b"HMSG")
                elif word == b"PING":
                    self._writer.write(b"PONG\r\n")

    async def _take(self, line: bytes, *, with_headers: bool) -> None:
        fields = line.split()
        head = int(fields[-2]) if with_headers else 0
        data = await self._reader.readexactly(int(fields[-1]) + 2)
        self.everything += line + data
        self.messages.append((fields[1].decode(errors="replace"), data[head:-2]))


def headers(**fields: str) -> bytes:
    """A well-formed header block; an underscore in a name stands for a hyphen."""
    lines = [f"{name.replace('_', '-')}: {text}" for name, text in fields.items()]
    return "\r\n".join(("NATS/1.0", *lines, "", "")).encode()
