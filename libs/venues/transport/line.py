"""Connections for requests that are sent once: h11 speaks the protocol, nothing else stands on the way.

The full HTTP library takes several times the processor time for a request. Whatever is no proper answer breaks
the connection, and whoever asked must find out what became of the order.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import cast

import h11
import httpx

from libs.venues.transport.answer import HttpAnswer

HEAD_BYTES_MAX = 64 * 1024
"""Status and headers of an answer; Cloudflare's are about 2 kB."""
CONNECTIONS_MAX = 20
PATHS_MAX = 1_024
"""Paths remembered as they are written in a request."""


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
    ) -> HttpAnswer:
        """Send one request and read its answer."""
        request = self._request(method, url, headers, body)
        async with self._room:
            line = self._kept() or await self._open()
            try:
                sending()
                answer = await line.exchange(request, body)
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

    def _request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> h11.Request:
        fields = [("host", self._authority), *headers.items()]
        if body or method not in ("GET", "DELETE"):
            fields.append(("content-length", str(len(body))))
        try:
            return h11.Request(method=method, target=_target(url), headers=fields)
        except h11.LocalProtocolError as e:
            raise OSError(f"expected a request that can be sent, was not: {e}") from e

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
        self._waiting: asyncio.Future[HttpAnswer] | None = None
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._broken = False
        self._response: h11.Response | None = None
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        transport = self._transport
        return not (self._broken or self._waiting or transport is None or transport.is_closing())

    async def exchange(self, request: h11.Request, body: bytes) -> HttpAnswer:
        """Send a request; its answer."""
        assert self._transport is not None
        self._response, self._parts, self._size = None, [], 0
        self._waiting = asyncio.get_running_loop().create_future()
        events = (request, h11.Data(data=body), h11.EndOfMessage()) if body else (request, h11.EndOfMessage())
        self._transport.write(b"".join(self._protocol.send(event) or b"" for event in events))
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
        # Some answers end with the connection; a broken one never ends an answer.
        if exc is None and self._is_waiting:
            self._receive(b"")
        self._broken = True
        self._fail(ConnectionResetError("expected an answer, the connection was closed"))

    def data_received(self, data: bytes) -> None:
        if self._is_waiting:
            self._receive(data)
        else:
            # Nobody asked: whatever it is, the next answer must not be taken from it.
            self.close()

    # ── reading ──

    @property
    def _is_waiting(self) -> bool:
        return self._waiting is not None and not self._waiting.done()

    def _receive(self, data: bytes) -> None:
        try:
            self._protocol.receive_data(data)
            while self._is_waiting:
                event = self._protocol.next_event()
                if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                    return
                self._handle_event(event)
        except (h11.RemoteProtocolError, ValueError, AnswerTooLong) as e:
            self._broken = True
            self._fail(e if isinstance(e, AnswerTooLong) else ConnectionAbortedError(str(e)))

    def _handle_event(self, event: object) -> None:
        """One event of an answer; what comes before the answer proper (100, 103) says nothing."""
        if isinstance(event, h11.Response):
            self._response = event
            headers = _headers(event)
            if headers.get("content-encoding", "identity").lower() != "identity":
                raise ValueError("expected an answer as it is, was a compressed one")
            if int(headers.get("content-length", "0")) > self._body_bytes_max:
                raise AnswerTooLong
        elif isinstance(event, h11.Data):
            self._size += len(event.data)
            if self._size > self._body_bytes_max:
                raise AnswerTooLong
            self._parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            self._done()

    def _done(self) -> None:
        assert self._response is not None
        assert self._waiting is not None
        if self._protocol.trailing_data[0]:
            raise ValueError("expected nothing behind the answer")
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()
        else:
            self._broken = True
        answer = HttpAnswer(self._response.status_code, _headers(self._response), b"".join(self._parts))
        self._waiting.set_result(answer)

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


def _headers(response: h11.Response) -> dict[str, str]:
    """Names in lower case; of one that comes twice both values, as the library has them."""
    found: dict[str, str] = {}
    for name, value in response.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
