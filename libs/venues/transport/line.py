"""Connections for requests that are sent once: HTTP/1.1 with nothing on the way that an order does not need.

The HTTP library takes one and a half milliseconds of processor time for a request, this a tenth of it. It speaks
as much of the protocol as venues answer orders with; whatever else comes breaks the connection, and whoever asked
must find out what became of the order.
"""

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import cast

import httpx

from libs.venues.transport.answer import Answer

HEAD_BYTES_MAX = 64 * 1024
"""Status and headers of an answer; Cloudflare's are about 2 kB."""
CHUNK_LINE_BYTES_MAX = 1_024
CONNECTIONS_MAX = 20
PATHS_MAX = 1_024
"""Paths remembered as they are written in a request."""

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: [^\r\n]*)?\Z")
_LENGTH = re.compile(r"\d{1,12}\Z")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})(?:[ \t]*;.*)?\Z")
_UNSAFE = re.compile(r"[\r\n\x00]")
_BODILESS = (204, 304)


class AnswerTooLong(Exception):
    """An answer longer than it may be."""


class Lines:
    """Connections to one venue, kept for ``keepalive_s`` without use.

    Raises of ``send``: ``OSError`` and ``TimeoutError`` for a connection that cannot be made or breaks,
    ``AnswerTooLong``. ``sending`` is called when the first byte is about to leave.
    """

    def __init__(self, base_url: str, *, connect_s: float, keepalive_s: float, body_bytes_max: int) -> None:
        self._url = base_url
        url = httpx.URL(base_url)
        self._host = url.host
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._authority = url.netloc.decode("ascii")
        self._tls = _tls() if url.scheme == "https" else None
        self._connect_s = connect_s
        self._keepalive_s = keepalive_s
        self._body_bytes_max = body_bytes_max
        self._idle: deque[_Line] = deque()
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, sending: Callable[[], None]
    ) -> Answer:
        """Send one request and read its answer."""
        request = self._written(method, url, headers, body)
        async with self._room:
            line = self._kept() or await self._open()
            try:
                sending()
                answer = await line.exchange(request)
            except BaseException:
                line.close()
                raise
            if line.reusable:
                line.used_at_s = time.monotonic()
                self._idle.append(line)
            else:
                line.close()
            return answer

    def close(self) -> None:
        """Close what is not in use."""
        while self._idle:
            self._idle.pop().close()

    def _written(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = [f"{method} {_target(url)} HTTP/1.1", f"host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method not in ("GET", "DELETE"):
            lines.append(f"content-length: {len(body)}")
        if any(map(_UNSAFE.search, lines)):
            raise OSError("expected headers of one line each")
        return "\r\n".join((*lines, "\r\n")).encode("latin-1", "replace") + body

    def _kept(self) -> "_Line | None":
        """The connection used last, unless it has been idle for too long; older ones go."""
        while self._idle:
            line = self._idle.pop()
            if line.reusable and time.monotonic() - line.used_at_s < self._keepalive_s:
                return line
            line.close()
        return None

    async def _open(self) -> "_Line":
        async with asyncio.timeout(self._connect_s):
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: _Line(self._body_bytes_max), self._host, self._port, ssl=self._tls
            )
        return line


@lru_cache(maxsize=PATHS_MAX)
def _target(url: str) -> str:
    """Path and query as they are written in a request."""
    return httpx.URL(url).raw_path.decode("ascii")


def _tls() -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Line(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, body_bytes_max: int) -> None:
        self.used_at_s = 0.0
        self._body_bytes_max = body_bytes_max
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._received = bytearray()
        self._broken = False
        self._start_anew()

    def _start_anew(self) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._left: int | None = 0
        self._chunked = False
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        transport = self._transport
        return not (self._broken or self._waiting or transport is None or transport.is_closing())

    async def exchange(self, request: bytes) -> Answer:
        """Send the bytes of a request; its answer."""
        assert self._transport is not None
        self._start_anew()
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def close(self) -> None:
        """Close without waiting for anything."""
        self._broken = True
        if self._transport is not None:
            self._transport.abort()

    # ── what the transport calls ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none by descent.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._broken = True
        if self._status and self._left is None and not self._chunked and exc is None:
            self._done()
        else:
            self._fail(ConnectionResetError("expected an answer, the connection was closed"))

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            # Nobody asked: whatever it is, the next answer must not be taken from it.
            self.close()
            return
        self._received += data
        try:
            if not self._status:
                self._read_head()
            if self._status:
                self._read_body()
        except (ValueError, AnswerTooLong) as e:
            self._broken = True
            self._fail(e if isinstance(e, AnswerTooLong) else ConnectionAbortedError(str(e)))

    # ── reading ──

    def _read_head(self) -> None:
        while not self._status:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if len(head) > HEAD_BYTES_MAX:
                raise AnswerTooLong
            if not end:
                return
            self._received = rest
            first, *lines = bytes(head).split(b"\r\n")
            found = _STATUS.match(first)
            if found is None:
                raise ValueError("expected an HTTP status")
            status = int(found[2])
            # What comes before the answer proper (100, 103) says nothing.
            if status >= 200:
                self._headers = _headers(lines)
                self._status = status
                self._expect(old=found[1] == b"0")

    def _expect(self, *, old: bool) -> None:
        """How long the body is, and whether the connection lives on."""
        connection = self._headers.get("connection", "").lower()
        self._broken = "close" in connection or (old and "keep-alive" not in connection)
        if self._headers.get("content-encoding", "identity").lower() != "identity":
            raise ValueError("expected an answer as it is, was a compressed one")
        encoding, length = self._headers.get("transfer-encoding", ""), self._headers.get("content-length")
        self._chunked = bool(encoding)
        if self._status in _BODILESS:
            self._left, self._chunked = 0, False
        elif self._chunked:
            if encoding.lower() != "chunked" or length is not None:
                raise ValueError("expected chunks or a length")
            self._left = None
        elif length is None:
            # Until the connection ends.
            self._left, self._broken = None, True
        elif not _LENGTH.match(length):
            raise ValueError("expected a length")
        else:
            self._left = int(length)
            self._grow(self._left, taken=False)

    def _grow(self, size: int, *, taken: bool = True) -> None:
        if self._size + size > self._body_bytes_max:
            raise AnswerTooLong
        self._size += size if taken else 0

    def _read_body(self) -> None:
        if self._chunked:
            self._read_chunks()
            return
        part = bytes(self._received)
        self._received.clear()
        self._grow(len(part))
        self._parts.append(part)
        if self._left is not None:
            self._left -= len(part)
            if self._left < 0:
                raise ValueError("expected no more than the length says")
            if self._left == 0:
                self._done()

    def _read_chunks(self) -> None:
        received = self._received
        while True:
            line, end, _ = received.partition(b"\r\n")
            if not end:
                if len(line) > CHUNK_LINE_BYTES_MAX:
                    raise ValueError("expected the size of a chunk")
                return
            found = _SIZE.match(line)
            if found is None:
                raise ValueError("expected the size of a chunk")
            size, start = int(found[1], 16), len(line) + 2
            self._grow(size, taken=False)
            if len(received) < start + size + 2:
                return
            if received[start + size : start + size + 2] != b"\r\n":
                # After the last chunk only an empty line is expected: trailers are not asked for.
                raise ValueError("expected the end of a chunk")
            self._grow(size)
            self._parts.append(bytes(received[start : start + size]))
            del received[: start + size + 2]
            if not size:
                if received:
                    raise ValueError("expected nothing after the last chunk")
                self._done()
                return

    def _done(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answer(self._status, self._headers, b"".join(self._parts)))

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


def _headers(lines: list[bytes]) -> dict[str, str]:
    """Header names in lower case; of one that comes twice both values, as the library has them."""
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip():
            raise ValueError("expected a header")
        key, text = name.decode("latin-1").lower(), value.strip().decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
