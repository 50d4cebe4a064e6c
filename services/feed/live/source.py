"""The base of all live sources: one socket that is kept connected, and REST requests at intervals.

A source turns everything it receives into frames and passes them to ``emit``. It interprets no market data: the
normaliser does, and its messages come back to ``handle_messages``.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from libs.bounded import clip
from libs.tasks import cancel_all
from libs.venues.errors import RateLimited, Unavailable, VenueError
from libs.venues.params import VenueParams
from libs.venues.transport.answer import printable
from libs.venues.transport.websocket import Connected, Received, VenueSocket
from proto.message import Message
from services.feed.control import CONNECTED, DISCONNECTED, FEED
from services.feed.live.lease import Due, Leases
from services.feed.live.past import PastPrices
from services.feed.live.questions import Question, SomeFailed
from services.feed.normalise import Normalisers

DETAIL_CHARACTERS_MAX = 200
RETRY_MIN_S, RETRY_MAX_S = 1.0, 60.0
"""Bounds of the pause after a failed poll; it doubles each time. A venue's own retry time wins if it is longer."""
IDLE_S = 0.1
"""How often a source checks again whether there is anything to subscribe to."""
KEEPALIVE_ANSWERS = (b"PONG", b"pong")
CALLS_QUEUED_MAX = 200
"""Commands and requests that wait for the venue's rate limits."""
RESTART_S = 5.0
"""Pause before a source that raised is run again."""
ERROR_SHOWN_S = 60.0
"""How long an error of the venue is shown (longer while books are missing). Repeated, it is logged this seldom."""

QueuedCall = Callable[[], Awaitable[None]]

log = logging.getLogger("presage.feed.live")


class Emit(Protocol):
    """Append a frame to the common queue; waits while it is full. ``at_ns`` 0 is now."""

    async def __call__(self, source: str, data: bytes, at_ns: int = 0) -> None: ...


class FeedContext(NamedTuple):
    """What a source is built with beside its section. ``feed_keys`` is the directory of the feed's own keys."""

    emit: Emit
    feed_keys: Path
    normalisers: Normalisers


class LiveSource:
    """The live feed of one venue. Subclasses define subscriptions, polls, and which market a frame belongs to.

    ``run`` never returns. ``detail`` is empty while all is well. ``connects`` counts connections,
    ``replaced`` those closed because a book stayed broken.
    """

    venue = ""
    books = True
    """Whether its instruments have books, which leases watch; reference prices have none."""

    def __init__(self, params: VenueParams, emit: Emit) -> None:
        self.leases = Leases(params.book_lease_s, params.lease_failures_max_count, books=self.books)
        self.connects = 0
        self.replaced = 0
        self.connected = False
        self.trouble = ""
        self._reported, self._reported_at_s = "", 0.0
        self._lost_because = ""
        self.past = PastPrices(self.venue)
        self._emit = emit
        self._socket: VenueSocket | None = None
        self._again = asyncio.Event()
        self._refresh = asyncio.Event()
        self._books_wanted = False
        self._queued: asyncio.Queue[QueuedCall] = asyncio.Queue(CALLS_QUEUED_MAX)

    # --- for subclasses ------------------------------------------------------------

    def open_socket(self) -> VenueSocket:
        """Build the socket with its subscriptions, not connected yet."""
        raise NotImplementedError

    def extra_sockets(self) -> Sequence[VenueSocket]:
        """Build further sockets whose frames join the others. Leases do not depend on them."""
        return ()

    def is_ready(self) -> bool:
        """Whether there is something to subscribe to."""
        return True

    def past_questions(self) -> Sequence[Question]:
        """Return the requests for what was before, by instrument; they are made before the socket is opened."""
        return ()

    async def poll(self) -> None:
        """Request by REST what no socket delivers. Raises ``VenueError`` kinds."""

    def await_results(self, markets: Iterable[str]) -> None:
        """Poll the results of these markets too: they were open before a restart."""

    def poll_interval_s(self) -> float:
        """How often ``poll`` is called; 0 is once, at the start."""
        return 0.0

    def proven_markets(self, data: bytes) -> Iterable[str]:
        """Return the markets (as on the tape) whose books this frame, already normalised, proves to be current."""
        raise NotImplementedError

    def split_frame(self, data: bytes) -> Iterable[bytes]:
        """Split a frame in which the venue joined too much; most frames are returned whole."""
        return (data,)

    def inconsistent_markets(self, at: int) -> Iterable[str]:  # noqa: ARG002 - for those that compare
        """Return the markets whose books contradict the venue's own best prices."""
        return ()

    def label_extra_frame(self, socket: VenueSocket, data: bytes) -> bytes:  # noqa: ARG002 - for those that have some
        """Return the frame of a further socket as it is passed on."""
        return data

    def on_connected(self) -> None:
        """Handle a new connection, after which data may be missing."""

    async def on_frame(self, data: bytes) -> None:
        """Handle a frame before it is normalised."""

    def handle_messages(self, messages: Sequence[Message], at: int) -> None:  # noqa: ARG002 - for those that follow markets
        """Handle the messages normalised from this venue's frames."""
        self.leases.handle_messages(messages)

    async def probe(self, markets: Sequence[str]) -> None:
        """Request proof that these books are current; the answer comes as a frame."""

    async def resubscribe(self, markets: Sequence[str]) -> None:
        """Subscribe to these books again."""

    # --- for the live feed --------------------------------------------------------------------------

    @property
    def detail(self) -> str:
        """What is wrong, in words; empty when all is well."""
        if self.is_ready() and not self.connected:
            return f"{self.venue}: {self._lost_because or 'connecting'}"
        if self.trouble:
            return f"{self.venue}: {self.trouble}"
        broken = self.leases.broken
        found = [f"{broken} of {len(self.leases.markets())} markets without a whole book"] if broken else []
        if self._reported and (broken or time.monotonic() - self._reported_at_s < ERROR_SHOWN_S):
            found.append(f"the venue said {self._reported}")
        return f"{self.venue}: {'; '.join(found)}" if found else ""

    @property
    def notes(self) -> list[str]:
        """What is asked for or listed and not followed, and why: no fault, yet good to know."""
        return []

    def report_error(self, words: str) -> None:
        """Keep an error that the venue reported on its socket, and log it."""
        if words != self._reported or time.monotonic() - self._reported_at_s >= ERROR_SHOWN_S:
            log.warning("%s: the venue said %s", self.venue, printable(words))
        self._reported, self._reported_at_s = printable(words), time.monotonic()

    async def send(self, command: bytes) -> None:
        """Send a frame to the venue; without a connection it is dropped."""
        if self._socket is not None:
            with contextlib.suppress(VenueError):
                await self._socket.send(command)

    def send_later(self, command: bytes) -> None:
        """Queue a frame to be sent."""
        self._enqueue(partial(self.send, command))

    def handle_due(self, due: Due) -> None:
        """Queue what the leases require: probes, subscriptions, or a new connection."""
        if due.reconnect:
            self.replaced += 1
            self._again.set()
            return
        if due.probe:
            self._enqueue(partial(self.probe, due.probe))
        if due.resubscribe:
            self._enqueue(partial(self.resubscribe, due.resubscribe))

    def poll_soon(self) -> None:
        """Ask the venue again for what no socket tells, without waiting for the time of it."""
        self._refresh.set()

    def refresh_all(self) -> None:
        """Request all markets, then all followed books."""
        self._books_wanted = True
        self._refresh.set()

    def _enqueue(self, call: QueuedCall) -> None:
        # A call that is dropped here is made again: by the normaliser within seconds, by the lease within its half.
        with contextlib.suppress(asyncio.QueueFull):
            self._queued.put_nowait(call)

    async def emit(self, data: bytes, at_ns: int = 0) -> None:
        """Pass a frame on."""
        await self._emit(self.venue, data, at_ns)

    async def close(self) -> None:
        """Close connections; no loop is running any more."""

    # --- the loops ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the socket connected, poll, and work through the queue, for ever."""
        try:
            while True:
                await self._run_once()
                await asyncio.sleep(RESTART_S)
        finally:
            await self.close()

    async def _run_once(self) -> None:
        """Run until an unexpected error: one venue's fault must not stop the others."""
        loops = [
            self._follow(),
            self._poll_loop(),
            self._queue_loop(),
            *map(self._read_extra, self.extra_sockets()),
        ]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            await asyncio.gather(*tasks)
        except Exception as e:
            log.exception("%s: source stopped", self.venue)
            self.trouble = f"stopped by {type(e).__name__}, started again"
        finally:
            await cancel_all(tasks)
        await self._on_lost("stopped")

    async def _queue_loop(self) -> None:
        while True:
            call = await self._queued.get()
            try:
                await call()
            except VenueError as e:
                log.warning("%s", e)

    async def _follow(self) -> None:
        for frame in await self.past.load(self.past_questions()):
            await self._emit(FEED, frame)
        while True:
            while not self.is_ready():
                await asyncio.sleep(IDLE_S)
            self._again.clear()
            reading = asyncio.create_task(self._read(self.open_socket()))
            again = asyncio.create_task(self._again.wait())
            try:
                await asyncio.wait((reading, again), return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    reading.result()
            finally:
                await cancel_all([reading, again])
            await self._on_lost("its books could not be healed")

    async def _read(self, socket: VenueSocket) -> None:
        """Turn the events of a socket into frames."""
        self._socket = socket
        async with contextlib.aclosing(socket.frames()) as events:
            async for event in events:
                if isinstance(event, Received):
                    if event.data not in KEEPALIVE_ANSWERS:
                        await self.on_frame(event.data)
                        for part in self.split_frame(event.data):
                            await self.emit(part, event.at_ns)
                elif isinstance(event, Connected):
                    self.connects += 1
                    self.connected = True
                    if not event.overlapped:
                        await self.emit(CONNECTED, event.at_ns)
                        self.on_connected()
                else:
                    await self._on_lost(event.reason)

    async def _read_extra(self, socket: VenueSocket) -> None:
        async with contextlib.aclosing(socket.frames()) as events:
            async for event in events:
                if isinstance(event, Received) and event.data not in KEEPALIVE_ANSWERS:
                    await self.emit(self.label_extra_frame(socket, event.data), event.at_ns)

    async def _on_lost(self, reason: str) -> None:
        if self._lost_because != reason:
            log.warning("%s: %s", self.venue, reason)
        self._lost_because = clip(reason, DETAIL_CHARACTERS_MAX)
        if self.connected:
            self.connected = False
            await self.emit(DISCONNECTED)

    async def _poll_loop(self) -> None:
        retry_s = RETRY_MIN_S
        while True:
            self._refresh.clear()
            try:
                await self.poll()
            except VenueError as e:
                answered = isinstance(e, SomeFailed)
                wait_s = max(_asked_wait_s(e), retry_s)
                if answered:
                    wait_s = min(wait_s, self.poll_interval_s() or wait_s)
                retry_s = min(retry_s * 2, RETRY_MAX_S)
                if not self.trouble:
                    log.warning("%s", e)
                self.trouble = clip(str(e).removeprefix(f"{self.venue}: "), DETAIL_CHARACTERS_MAX)
            else:
                answered = True
                wait_s, retry_s, self.trouble = self.poll_interval_s(), RETRY_MIN_S, ""
            if answered and self._books_wanted:
                # Only now: the normaliser cannot use a book of a market that it does not know yet.
                self._books_wanted = False
                if markets := self.leases.markets():
                    self._enqueue(partial(self.probe, markets))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s or None):
                    await self._refresh.wait()


def _asked_wait_s(error: VenueError) -> float:
    """Return how long the venue wants no requests."""
    return error.retry_after_s if isinstance(error, RateLimited | Unavailable) else 0.0
