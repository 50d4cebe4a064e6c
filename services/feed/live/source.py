"""What all live sources have in common: one socket that is kept up, and questions asked now and then.

A source turns everything it receives into frames and hands them to ``emit``. It reads no market data itself: what
the frames mean is the normaliser's business, and comes back as messages (``see``).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from libs.venues.errors import RateLimited, Unavailable, VenueError
from libs.venues.params import VenueParams
from libs.venues.transport.answer import printable
from libs.venues.transport.websocket import Connected, Received, VenueSocket
from proto.message import Message
from services.feed.control import CONNECTED, DISCONNECTED
from services.feed.live.lease import Due, Leases
from services.feed.live.questions import SomeFailed
from services.feed.normalise import Normalisers

DETAIL_CHARACTERS_MAX = 200
RETRY_MIN_S, RETRY_MAX_S = 1.0, 60.0
"""Pauses after a failed look at the venue, doubling; a venue that says when is believed."""
IDLE_S = 0.1
"""How often a source without anything to subscribe to looks again."""
KEEPALIVE_ANSWERS = (b"PONG", b"pong")
ERRANDS_MAX = 200
"""Commands and questions waiting for their turn, which the venue's rate limits may put off."""
RESTART_S = 5.0
"""Pause before a source that raised is run again."""
SAID_S = 60.0
"""An error the venue reported is shown for so long, and while books are missing; said again, it is logged as seldom."""

Errand = Callable[[], Awaitable[None]]

log = logging.getLogger("presage.feed.live")


class Emit(Protocol):
    """Takes a frame into the one queue; waits while it is full. ``at_ns`` 0 is now."""

    async def __call__(self, source: str, data: bytes, at_ns: int = 0) -> None: ...


class FeedContext(NamedTuple):
    """What a source is built with beside its section. ``feed_keys`` is the directory of the feed's own keys."""

    emit: Emit
    feed_keys: Path
    normalisers: Normalisers


class LiveSource:
    """One venue. Subclasses say what is subscribed, asked, and which market a frame is about.

    ``run`` never returns. ``detail`` is empty while all is well. ``connects`` counts connections,
    ``replaced`` those given up because a book could not be healed.
    """

    venue = ""
    books = True
    """Whether its instruments have books that a lease is kept on; a reference price has none."""

    def __init__(self, params: VenueParams, emit: Emit) -> None:
        self.leases = Leases(params.book_lease_s, params.lease_failures_max_count, books=self.books)
        self.connects = 0
        self.replaced = 0
        self.connected = False
        self.trouble = ""
        self._reported, self._reported_at_s = "", 0.0
        self._lost_because = ""
        self._emit = emit
        self._socket: VenueSocket | None = None
        self._again = asyncio.Event()
        self._refresh = asyncio.Event()
        self._books_wanted = False
        self._queued: asyncio.Queue[Errand] = asyncio.Queue(ERRANDS_MAX)

    # --- what a venue has of its own ------------------------------------------------------------

    def open_socket(self) -> VenueSocket:
        """The socket with its subscriptions; nothing is connected yet."""
        raise NotImplementedError

    def extra_sockets(self) -> Sequence[VenueSocket]:
        """Further sockets, whose frames come among the others. Nothing is leased on them."""
        return ()

    def ready(self) -> bool:
        """Whether there is something to subscribe to."""
        return True

    async def poll(self) -> None:
        """Ask the venue for what no socket tells. Raises ``VenueError`` kinds."""

    def await_results(self, markets: Iterable[str]) -> None:
        """Markets told of before a restart, whose results are waited for: ``look`` asks for them too."""

    def poll_interval_s(self) -> float:
        """How often ``look`` is called; 0 is once, at the start."""
        return 0.0

    def proven_markets(self, data: bytes) -> Iterable[str]:
        """The markets (as on the tape) whose books a frame, which has just been read, proves to be kept up."""
        raise NotImplementedError

    def split_frame(self, data: bytes) -> Iterable[bytes]:
        """What a frame is handed on as: itself, or its pieces where the venue joins too many into one."""
        return (data,)

    def inconsistent_markets(self, at: int) -> Iterable[str]:  # noqa: ARG002 - for those that compare
        """Markets whose books differ from what the venue says beside them."""
        return ()

    def label_extra_frame(self, socket: VenueSocket, data: bytes) -> bytes:  # noqa: ARG002 - for those that have some
        """What a frame of one of the further sockets is handed on as."""
        return data

    def on_connected(self) -> None:
        """A new connection, after which something may be missing."""

    async def on_frame(self, data: bytes) -> None:
        """A frame came in, before anybody else reads it."""

    def handle_messages(self, messages: Sequence[Message], at: int) -> None:  # noqa: ARG002 - for those that follow markets
        """What this venue's frames came to."""
        self.leases.handle_messages(messages)

    async def probe(self, markets: Sequence[str]) -> None:
        """Ask for a proof that these books are right; the answer comes as a frame."""

    async def resubscribe(self, markets: Sequence[str]) -> None:
        """Ask for these books anew."""

    # --- what goes out --------------------------------------------------------------------------

    @property
    def detail(self) -> str:
        """What is wrong, in words; empty when nothing is."""
        if self.ready() and not self.connected:
            return f"{self.venue}: {self._lost_because or 'connecting'}"
        if self.trouble:
            return f"{self.venue}: {self.trouble}"
        broken = self.leases.broken
        found = [f"{broken} of {len(self.leases.markets())} markets without a whole book"] if broken else []
        if self._reported and (broken or time.monotonic() - self._reported_at_s < SAID_S):
            found.append(f"the venue said {self._reported}")
        return f"{self.venue}: {'; '.join(found)}" if found else ""

    def report_error(self, words: str) -> None:
        """The venue reported an error on its socket."""
        if words != self._reported or time.monotonic() - self._reported_at_s >= SAID_S:
            log.warning("%s: the venue said %s", self.venue, printable(words))
        self._reported, self._reported_at_s = printable(words), time.monotonic()

    async def send(self, command: bytes) -> None:
        """Send a frame to the venue; without a connection it is of no use and forgotten."""
        if self._socket is not None:
            with contextlib.suppress(VenueError):
                await self._socket.send(command)

    def send_later(self, command: bytes) -> None:
        """Send a frame when it is its turn."""
        self._enqueue(partial(self.send, command))

    def handle_due(self, due: Due) -> None:
        """Do what the leases ask for, when it is its turn."""
        if due.reconnect:
            self.replaced += 1
            self._again.set()
            return
        if due.probe:
            self._enqueue(partial(self.probe, due.probe))
        if due.resubscribe:
            self._enqueue(partial(self.resubscribe, due.resubscribe))

    def refresh_all(self) -> None:
        """Have the venue say everything again: its markets, and then all followed books."""
        self._books_wanted = True
        self._refresh.set()

    def _enqueue(self, errand: Errand) -> None:
        # One left out is asked for again: by the normaliser within seconds, by the lease within its half.
        with contextlib.suppress(asyncio.QueueFull):
            self._queued.put_nowait(errand)

    async def emit(self, data: bytes, at_ns: int = 0) -> None:
        """Hand a frame on."""
        await self._emit(self.venue, data, at_ns)

    async def close(self) -> None:
        """Free what is held; nothing is running any more."""

    # --- the loops ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the socket up, look at the venue and do errands, for ever."""
        try:
            while True:
                await self._run_once()
                await asyncio.sleep(RESTART_S)
        finally:
            await self.close()

    async def _run_once(self) -> None:
        """Run until something raises that should not: one venue's fault must not end the others."""
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
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._on_lost("stopped")

    async def _queue_loop(self) -> None:
        while True:
            errand = await self._queued.get()
            try:
                await errand()
            except VenueError as e:
                log.warning("%s", e)

    async def _follow(self) -> None:
        while True:
            while not self.ready():
                await asyncio.sleep(IDLE_S)
            self._again.clear()
            reading = asyncio.create_task(self._read(self.open_socket()))
            again = asyncio.create_task(self._again.wait())
            try:
                await asyncio.wait((reading, again), return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    reading.result()
            finally:
                for task in (reading, again):
                    task.cancel()
                await asyncio.gather(reading, again, return_exceptions=True)
            await self._on_lost("its books could not be healed")

    async def _read(self, socket: VenueSocket) -> None:
        """Turn what happens to a socket into frames."""
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
        self._lost_because = reason[:DETAIL_CHARACTERS_MAX]
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
                self.trouble = str(e).removeprefix(f"{self.venue}: ")[:DETAIL_CHARACTERS_MAX]
            else:
                answered = True
                wait_s, retry_s, self.trouble = self.poll_interval_s(), RETRY_MIN_S, ""
            if answered and self._books_wanted:
                # Only now: a book of a market that is not known yet is of no use to who reads the frames.
                self._books_wanted = False
                if markets := self.leases.markets():
                    self._enqueue(partial(self.probe, markets))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s or None):
                    await self._refresh.wait()


def _asked_wait_s(error: VenueError) -> float:
    """How long the venue asks to be left alone."""
    return error.retry_after_s if isinstance(error, RateLimited | Unavailable) else 0.0
