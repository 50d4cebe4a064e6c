"""A very small HTTP server for ``/metrics``, ``/healthz`` and ``/readyz``, on loopback unless told otherwise.

Requests are bounded in size, time and number; every answer closes its connection. It shares the
service's event loop, so an answer to ``/healthz`` is itself the proof that the loop turns.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST

from libs.observability.metrics import Metrics
from proto.subjects import ALL_SERVICES, CONSOLE

HOST = "127.0.0.1"
SUPERVISOR = "supervisor"
STATUS_PORTS = {name: 9_400 + offset for offset, name in enumerate((SUPERVISOR, *ALL_SERVICES, CONSOLE))}
"""Where each process serves health and metrics, when its ports are fixed: in containers, and on request."""
REQUEST_BYTES_MAX = 8 * 1024
"""A scraper's headers are a few hundred bytes."""
REQUEST_SECONDS_MAX = 2.0
"""Reading and answering together; nobody on the loopback interface needs longer."""
CONNECTIONS_MAX = 16
"""A scraper, a supervisor, a browser; more at once is a mistake or worse."""

_JSON = "application/json"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class Readiness(NamedTuple):
    """Whether the service does its work, and if not, why."""

    ready: bool
    reason: str = ""


class HttpAnswer(NamedTuple):
    """Status, content type and body."""

    status: int
    content_type: str
    body: bytes


class StatusServer:
    """Serves one process. ``readiness`` is asked on every request to ``/readyz``, ``more`` for every other path."""

    def __init__(
        self,
        metrics: Metrics,
        readiness: Callable[[], Readiness],
        more: Callable[[str], HttpAnswer | None] | None = None,
    ) -> None:
        self._more = more
        self._metrics = metrics
        self._readiness = readiness
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self, listening: socket.socket | None = None) -> int:
        """Serve on a socket, or on a free port; the port."""
        opened = listening or socket.create_server((HOST, 0))
        self._server = await asyncio.start_server(self._serve, sock=opened, limit=REQUEST_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening. Answers under way end within ``REQUEST_SECONDS_MAX`` by themselves."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= CONNECTIONS_MAX:
                async with asyncio.timeout(REQUEST_SECONDS_MAX):
                    await self._exchange(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            # A caller that is too slow or gone gets no answer, and takes nothing with it.
            pass
        finally:
            self._connections -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            await _send(writer, _error(400, f"expected at most {REQUEST_BYTES_MAX} bytes of headers"), b"GET")
            return
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        await _send(writer, self.answer(method, path), method)

    def answer(self, method: bytes, path: bytes) -> HttpAnswer:
        """What a request gets."""
        if method not in (b"GET", b"HEAD"):
            return _error(405, "expected GET or HEAD")
        if path == b"/metrics":
            return HttpAnswer(200, CONTENT_TYPE_LATEST, self._metrics.text())
        if path == b"/healthz":
            return _json(200, {"service": self._metrics.service, "alive": True})
        if path == b"/readyz":
            state = self._readiness()
            body = {"service": self._metrics.service, "ready": state.ready, "reason": state.reason}
            return _json(200 if state.ready else 503, body)
        other = self._more(path.decode("ascii", "replace")) if self._more is not None else None
        return other or _error(404, "expected /metrics, /healthz or /readyz")


async def _send(writer: asyncio.StreamWriter, answer: HttpAnswer, method: bytes) -> None:
    head = (
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + (b"" if method == b"HEAD" else answer.body))
    await writer.drain()


def _json(status: int, body: dict[str, object]) -> HttpAnswer:
    return HttpAnswer(status, _JSON, json.dumps(body).encode() + b"\n")


def _error(status: int, text: str) -> HttpAnswer:
    return _json(status, {"error": text})
