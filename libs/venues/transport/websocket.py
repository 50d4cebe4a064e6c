"""A websocket to a venue that comes back for ever, and is not taken for alive because it is open."""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from libs.bounded import clip
from libs.tasks import cancel_all
from libs.venues.errors import NotSent
from libs.venues.frame import FRAME_BYTES_MAX
from libs.venues.transport.answer import printable
from libs.venues.transport.rate_limit import TokenBucket

OPEN_S_MAX = 10.0
CLOSE_S_MAX = 1.0
"""A peer that does not answer a close is left: what matters is the next connection."""
PING_EVERY_S = 20.0
PING_ANSWER_S_MAX = 20.0
"""Our own pings find a dead line within 40 s; a live line that brings nothing is found by ``silence_s``."""
FRAMES_WAITING_MAX = 256
"""Frames kept for a slow reader before the peer is slowed down."""
PAUSE_S_MIN = 0.25
PAUSE_S_MAX = 30.0
"""Pauses between attempts double from the one to the other, each shortened by up to half at random."""
STABLE_S = 10.0
"""A connection that brought data and lasted so long starts the pauses anew."""

TAKE_OVER_S_MAX = 15.0
"""A successor that brings nothing for so long does not take over; the connection is simply replaced."""


class Connected(NamedTuple):
    """A connection is open and its subscriptions are sent.

    ``overlapped``: it took over from one that was still open, nothing was missed in between.
    """

    at_ns: int
    overlapped: bool = False


class Disconnected(NamedTuple):
    """A connection was lost, or an attempt failed (one for each); ``reason`` is free of secrets."""

    at_ns: int
    reason: str


class Received(NamedTuple):
    """One data frame, as it came."""

    at_ns: int
    data: bytes


SocketEvent = Connected | Disconnected | Received


class VenueSocket:
    """One subscription to a venue; ``frames`` yields its events.

    ``headers`` is called for each connection (signatures carry the time), ``subscribe`` gives the frames
    sent first. ``keepalive`` is a text sent every so many seconds. A connection ends when for
    ``silence_s`` no frame came of which ``proves`` says that data flows (by default any but the answers
    to ``keepalive``: ``PONG``). ``max_age_s`` ends it on purpose, before the venue does; with ``overlap``
    the next one is open and has delivered before. ``outgoing`` limits what is sent.
    """

    def __init__(  # noqa: PLR0913 - what differs between venues, each by its name
        self,
        venue: str,
        url: str,
        *,
        silence_s: float,
        headers: Callable[[], Mapping[str, str]] | None = None,
        subscribe: Callable[[], Sequence[bytes | str]] = tuple,
        keepalive: tuple[str, float] | None = None,
        max_age_s: float | None = None,
        overlap: bool = False,
        proves: Callable[[bytes], bool] | None = None,
        outgoing: TokenBucket | None = None,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        pause_s: tuple[float, float] = (PAUSE_S_MIN, PAUSE_S_MAX),
    ) -> None:
        if not url.startswith(("ws://", "wss://")):
            raise ValueError(f"expected an address that starts with ws:// or wss://, was {clip(url, 40)!r}")
        self.venue = venue
        self.url = url
        self.connections = 0
        self._silence_s = silence_s
        self._headers = headers
        self._subscribe = subscribe
        self._keepalive = keepalive
        self._max_age_s = max_age_s
        self._overlap = overlap
        self._proves = proves or _is_data
        self._outgoing = outgoing
        self._frame_bytes_max = frame_bytes_max
        self._pause_s = pause_s
        self._line: _Line | None = None

    @property
    def connected(self) -> bool:
        """Whether there is an open connection."""
        return self._line is not None

    async def send(self, data: bytes | str) -> None:
        """Send one text frame on the present connection.

        Raises:
            NotSent: when there is none, or it is lost while sending. A command to a socket is never an
                order here, so that a lost one may be sent again.
        """
        line = self._line
        if line is None:
            raise NotSent(self.venue, "expected an open socket")
        try:
            await self._send(line.connection, data)
        except WebSocketException as e:
            raise NotSent(self.venue, f"the socket closed: {type(e).__name__}") from e

    async def frames(self) -> AsyncGenerator[SocketEvent]:
        """Connect, and yield what comes, for ever. Closing the iterator closes the connection."""
        failures = 0
        line: _Line | None = None
        try:
            while True:
                try:
                    line = await self._open()
                except (OSError, TimeoutError, WebSocketException) as e:
                    failures += 1
                    yield Disconnected(time.time_ns(), _reason(e))
                    await asyncio.sleep(self._rest_s(failures))
                    continue
                overlapped = False
                reason = ""
                while line is not None:
                    self._line = line
                    yield Connected(time.time_ns(), overlapped)
                    while (received := await line.next()) is not None:
                        yield received
                    self._line = None
                    failures = 0 if line.ended_well() else failures + 1
                    ended, line, overlapped = line, line.successor, True
                    reason = await ended.close()
                yield Disconnected(time.time_ns(), reason)
                if failures:
                    await asyncio.sleep(self._rest_s(failures))
        finally:
            self._line = None
            if line is not None:
                await line.close()

    async def _open(self) -> "_Line":
        connection = await connect(
            self.url,
            additional_headers=dict(self._headers()) if self._headers else None,
            open_timeout=OPEN_S_MAX,
            close_timeout=CLOSE_S_MAX,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_ANSWER_S_MAX,
            max_size=self._frame_bytes_max,
            max_queue=FRAMES_WAITING_MAX,
            # Frames are small: unpacking each would cost more than the line saves.
            compression=None,
            # Credentials go to the venue, not through what the environment names.
            proxy=None,
            user_agent_header="presage",
        )
        try:
            for frame in self._subscribe():
                await self._send(connection, frame)
        except BaseException:
            await connection.close()
            raise
        self.connections += 1
        return _Line(self, connection)

    async def _send(self, connection: ClientConnection, data: bytes | str) -> None:
        if self._outgoing is not None:
            await self._outgoing.acquire()
        await connection.send(data, text=True)

    def _rest_s(self, failures: int) -> float:
        least, most = self._pause_s
        return min(most, least * 2.0 ** min(failures - 1, 20)) * random.uniform(0.5, 1.0)


class _Line:
    """One open connection, and a task that tends it: keeps it awake, and ends it when it is due."""

    def __init__(self, socket: VenueSocket, connection: ClientConnection) -> None:
        self.connection = connection
        self.successor: _Line | None = None
        self._socket = socket
        self._kept: deque[Received] = deque()
        self._ended_by = ""
        self._planned = False
        self._proved = False
        self._opened_at = self._proved_at = time.monotonic()
        self._tending = asyncio.create_task(self._tend())

    async def next(self) -> Received | None:
        """The next frame; ``None`` when the connection has ended."""
        return self._kept.popleft() if self._kept else await self._receive()

    async def _receive(self) -> Received | None:
        try:
            data = await self.connection.recv(decode=False)
        except ConnectionClosed as e:
            self._ended_by = self._ended_by or _reason(e)
            return None
        if self._socket._proves(data):
            self._proved_at = time.monotonic()
            self._proved = True
        return Received(time.time_ns(), data)

    def ended_well(self) -> bool:
        """Whether the next attempt need not wait: this one ended on purpose, or worked for a while."""
        return self._planned or (self._proved and time.monotonic() - self._opened_at >= STABLE_S)

    async def close(self) -> str:
        """Close; the answer is why it ended."""
        await cancel_all([self._tending])
        await self.connection.close()
        return self._ended_by

    async def _tend(self) -> None:
        settings = self._socket
        text, every_s = settings._keepalive or ("", math.inf)
        awake_until = self._opened_at + every_s
        old_at = self._opened_at + (settings._max_age_s or math.inf)
        try:
            while True:
                silent_at = self._proved_at + settings._silence_s
                now = time.monotonic()
                if now >= silent_at:
                    self._ended_by = f"open but silent for {settings._silence_s:g} s"
                    return
                if now >= old_at:
                    self._planned = True
                    self._ended_by = f"planned after {settings._max_age_s:g} s"
                    self.successor = await self._succeed() if settings._overlap else None
                    return
                if now >= awake_until:
                    awake_until = now + every_s
                    await settings._send(self.connection, text)
                await asyncio.sleep(min(silent_at, old_at, awake_until) - time.monotonic())
        except WebSocketException as e:
            self._ended_by = _reason(e)
        finally:
            # However tending ends, the connection does not go on without it.
            await self.connection.close()

    async def _succeed(self) -> "_Line | None":
        """The connection that takes over, once it has brought data; ``None`` when that fails."""
        line: _Line | None = None
        try:
            async with asyncio.timeout(TAKE_OVER_S_MAX):
                line = await self._socket._open()
                while not line._proved:
                    received = await line._receive()
                    if received is None:
                        await line.close()
                        return None
                    line._kept.append(received)
        except (OSError, TimeoutError, WebSocketException):
            if line is not None:
                await line.close()
            return None
        except BaseException:
            if line is not None:
                await line.close()
            raise
        return line


def _is_data(frame: bytes) -> bool:
    return frame not in (b"PONG", b"pong")


def _reason(error: Exception) -> str:
    """Why, without the address: it may hold a key."""
    if isinstance(error, InvalidStatus):
        return f"expected a websocket, was status {error.response.status_code}"
    if isinstance(error, ConnectionClosed):
        frame, by = (error.rcvd, "") if error.rcvd else (error.sent, "by us ")
        return f"closed {by}with {frame.code} {printable(frame.reason)}".strip() if frame else "line lost"
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {printable(error.strerror)}"
    return type(error).__name__
