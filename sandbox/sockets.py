"""Websocket connections of clients: a bounded queue each, pings, and the faults that sockets have."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

from aiohttp import WSCloseCode, web

from sandbox.faults.rules import FaultKind
from sandbox.faults.script import Faults

QUEUE_MAX = 20_000
"""Frames waiting for one client. A client so far behind is cut off, as the venues do."""
DRAIN_S = 0.5
"""How long the last frames may take; a client that does not read loses the rest."""
FRAME_BYTES_MAX = 256 * 1024
"""Longest frame read from a client: a subscription of a thousand token ids is below 100 kB."""


class ClientSocket:
    """One client's websocket. ``send`` never waits: it may be called from the world's callbacks.

    ``operation`` is "market_socket", "prices_socket" or "user_socket". Faults are asked for once a frame: a gap loses that
    frame, silence loses all data that comes while it lasts (for good when the rule gives no seconds; pings
    and commands are still answered: the connection looks alive), a close ends the connection, a delay holds this frame and all behind it.
    """

    on_sent: ClassVar[Callable[[str, str, int], None] | None] = None
    """A bench may set this: called with the venue, the frame and monotonic ns once a frame has left."""

    def __init__(
        self,
        faults: Faults,
        venue: str,
        operation: str,
        *,
        ping_every_s: float | None = None,
        ping_body: bytes = b"",
        max_age_s: float | None = None,
    ) -> None:
        self.socket = web.WebSocketResponse(max_msg_size=FRAME_BYTES_MAX, autoping=True)
        self._faults = faults
        self._venue = venue
        self._operation = operation
        self._ping_every_s = ping_every_s
        self._ping_body = ping_body
        self._max_age_s = max_age_s
        self._queue: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
        self._silent_until = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def open(self, request: web.Request) -> web.WebSocketResponse:
        """Accept the handshake and start; the caller then reads ``async for message in client.socket``."""
        await self.socket.prepare(request)
        self._tasks = [asyncio.create_task(self._write())]
        if self._ping_every_s is not None:
            self._tasks.append(asyncio.create_task(self._ping(self._ping_every_s)))
        if self._max_age_s is not None:
            self._tasks.append(asyncio.create_task(self._close_when_old(self._max_age_s)))
        return self.socket

    async def close(self, code: int = WSCloseCode.OK, text: str = "") -> None:
        """Close and end the background work; more than once does no harm."""
        self._closing = True
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self.socket.close(code=code, message=text.encode())

    async def drain(self) -> None:
        """Wait until what is queued has been written, half a second at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), DRAIN_S)

    def send(self, text: str, facts: Mapping[str, str] | None = None) -> None:
        """Queue a frame of data, unless a fault loses it."""
        self._queue_frame(text, facts, faulty=True)

    def reply(self, text: str) -> None:
        """Queue an answer to the client's own frame (ack, PONG): faults leave it alone."""
        self._queue_frame(text, None, faulty=False)

    def end(self, code: int, text: str) -> None:
        """Close in the background, from code that cannot wait."""
        self._closing = True
        self._tasks.append(asyncio.create_task(self.close(code, text)))

    @property
    def is_silent(self) -> bool:
        """Whether a fault keeps this connection open and without frames."""
        return time.monotonic() < self._silent_until

    def _queue_frame(self, text: str, facts: Mapping[str, str] | None, *, faulty: bool) -> None:
        if self._closing:
            return
        delay_s = 0.0
        if faulty:
            delay_s = self._faults.pick_kind(FaultKind.DELAY, self._venue, self._operation, facts).seconds
            if self._is_lost(facts):
                return
            if self.is_silent:
                return
        if self._queue.qsize() >= QUEUE_MAX:
            self.end(WSCloseCode.TRY_AGAIN_LATER, "too slow")
            return
        self._queue.put_nowait((delay_s, text))

    def _is_lost(self, facts: Mapping[str, str] | None) -> bool:
        """Pick a fault for a frame; whether the frame is lost."""
        action = self._faults.pick(self._venue, self._operation, facts)
        if action.kind is FaultKind.SEQUENCE_GAP:
            return True
        if action.kind is FaultKind.SILENT_SOCKET:
            self._silent_until = time.monotonic() + action.seconds if action.seconds else float("inf")
        if action.kind is FaultKind.CLOSE_SOCKET:
            self.end(WSCloseCode.GOING_AWAY, "going away")
            return True
        return False

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                delay_s, text = await self._queue.get()
                if delay_s:
                    await asyncio.sleep(delay_s)
                await self.socket.send_str(text)
                if ClientSocket.on_sent is not None:
                    ClientSocket.on_sent(self._venue, text, time.monotonic_ns())
                self._queue.task_done()

    async def _ping(self, every_s: float) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                await asyncio.sleep(every_s)
                await self.socket.ping(self._ping_body)

    async def _close_when_old(self, max_age_s: float) -> None:
        await asyncio.sleep(max_age_s)
        await self.close(WSCloseCode.GOING_AWAY, "too old")
