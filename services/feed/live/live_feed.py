"""All live sources in one queue: normalisers, recorder and leases get the same frames in the same order.

What changes the messages without a venue's frame (time that passes, a lease that expires) is a frame of the feed's own.
So a recording of the frames plays back to the same messages.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any

from libs.tasks import cancel_all
from libs.venues.frame import RawFrame
from proto.message import Message
from proto.units import SECOND
from services.feed import control
from services.feed.control import FEED
from services.feed.live.lease import REASON
from services.feed.live.moment import now_ns
from services.feed.live.source import LiveSource
from services.feed.live.unsettled import UnsettledMarkets
from services.feed.normalise import Normalisers
from services.feed.recording.recorder import Recorder

QUEUE_FRAMES_MAX = 10_000
"""A few seconds of the busiest markets; beyond it the sockets' own flow control takes over."""
TICK_NS = SECOND // 10
"""Books held back by conflation go out ten times a second even when no frame comes."""
RECORDED_CHECK_TICKS = 10
NOTES_MAX = 20
"""Notes of a venue in one health report; more series than that are followed by nobody yet."""


class Inlet:
    """The queue that all sources write to."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[RawFrame] = asyncio.Queue(QUEUE_FRAMES_MAX)

    async def emit(self, source: str, data: bytes, at_ns: int = 0) -> None:
        """Append a frame, received at ``at_ns`` or now; waits while the queue is full."""
        await self.queue.put(RawFrame(at_ns or now_ns(), source, data))


class LiveFeed:
    """The live venues of a run. Read ``frames``, and pass the messages of each to ``handle_result``.

    ``sections`` are the venues' parameters, ``off`` those that are wanted and cannot be used, with the reason.
    """

    def __init__(
        self,
        sources: Sequence[LiveSource],
        inlet: Inlet,
        normalisers: Normalisers,
        sections: Mapping[str, Mapping[str, Any]],
        *,
        off: Mapping[str, str] | None = None,
        recorder: Recorder | None = None,
        unsettled: UnsettledMarkets | None = None,
    ) -> None:
        self.sources = {source.venue: source for source in sources}
        self.off = dict(off or {})
        self.recorder = recorder
        self._unsettled = unsettled or UnsettledMarkets()
        for source in sources:
            source.await_results(self._unsettled.of(source.venue))
        self._inlet = inlet
        self._normalisers = normalisers
        self._sections = sections
        # The feed's own frames, which come before what waits in the queue.
        self._own: deque[tuple[str, bytes]] = deque()
        self._held: RawFrame | None = None
        self._at = 0
        self._ticked_at = 0
        self._ticks = 0
        self._recorded = (0, 0)
        # Venue → errors it has reported so far.
        self._errors: dict[str, int] = {}

    @property
    def detail(self) -> str:
        """What is wrong, in words; empty when all is well."""
        found = [f"{venue} is off: {reason}" for venue, reason in self.off.items()]
        found += [source.detail for source in self.sources.values()]
        found += [self.recorder.detail] if self.recorder is not None else []
        return "; ".join(filter(None, found))

    def health(self) -> dict[str, Any]:
        """Return the state of each venue and of the recorder, for the health report."""
        venues: dict[str, dict[str, Any]] = {
            venue: {
                "connected": source.connected,
                "connects": source.connects,
                "replaced": source.replaced,
                "markets": len(source.leases.markets()),
                "broken": source.leases.broken,
                "detail": source.detail,
                "notes": source.notes[:NOTES_MAX],
            }
            for venue, source in self.sources.items()
        }
        for venue, reason in self.off.items():
            venues[venue] = {"connected": False, "detail": reason}
        recorder = self.recorder
        recorded = {} if recorder is None else {"frames": recorder.frames, "dropped": recorder.dropped}
        return {"venues": venues, "recorded": recorded, "waiting": self._inlet.queue.qsize()}

    async def frames(self) -> AsyncGenerator[RawFrame, None]:
        """Yield frames for ever; close the iterator (or cancel) to close the sockets."""
        tasks = [asyncio.create_task(source.run()) for source in self.sources.values()]
        for venue in self.sources:
            self._own.append((FEED, control.setup(venue, dict(self._sections[venue]))))
        try:
            while True:
                frame = await self._next()
                if self.recorder is not None:
                    self.recorder.add(frame)
                yield frame
        finally:
            await cancel_all(tasks)

    async def _next(self) -> RawFrame:
        """Return the next frame in order: the feed's own, a tick that is due, then one from outside."""
        while True:
            if self._own:
                source, data = self._own.popleft()
                return RawFrame(self._advance(0), source, data)
            if self._held is None:
                self._held = await self._receive()
            at = self._advance(self._held.at if self._held is not None else now_ns())
            if at - self._ticked_at >= TICK_NS:
                self._ticked_at = at
                return RawFrame(at, FEED, control.TICK)
            if self._held is not None:
                frame, self._held = self._held, None
                return frame._replace(at=at)

    async def _receive(self) -> RawFrame | None:
        """Wait for a frame from outside; ``None`` when a tick is due before one comes."""
        with contextlib.suppress(asyncio.QueueEmpty):
            return self._inlet.queue.get_nowait()
        wait_s = (self._ticked_at + TICK_NS - now_ns()) / SECOND
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait_s)):
                return await self._inlet.queue.get()
        return None

    def _advance(self, at: int) -> int:
        """Return the feed's monotonic time, moved on to ``at``."""
        self._at = max(self._at, at) or now_ns()
        return self._at

    # --- the messages of the frames ----------------------------------------------------------------

    def handle_result(self, frame: RawFrame, messages: Sequence[Message]) -> None:
        """Handle the messages normalised from a frame: renew leases, follow markets, request books."""
        if messages:
            self._unsettled.handle_messages(messages)
        source = self.sources.get(frame.source)
        if source is not None:
            self._report_errors(source)
            if frame.data == control.CONNECTED:
                source.leases.connected(frame.at)
            source.leases.renew(source.proven_markets(frame.data), frame.at)
            if messages:
                source.handle_messages(messages, frame.at)
            return
        for venue, its in _by_venue(messages).items():
            if venue in self.sources:
                self.sources[venue].handle_messages(its, frame.at)
        if frame.data == control.TICK:
            self._on_tick(frame.at)

    def _report_errors(self, source: LiveSource) -> None:
        """Report an error that the venue sent in the frame just read."""
        normaliser = self._normalisers.by_venue[source.venue]
        if normaliser.errors > self._errors.get(source.venue, 0):
            source.report_error(normaliser.last_error or "no to a command")
        self._errors[source.venue] = normaliser.errors

    def resend(self) -> None:
        """Publish everything again: what was published may be lost."""
        self._own.append((FEED, control.RESEND))

    def _on_tick(self, at: int) -> None:
        self._ticks += 1
        # Without the file only polls are lost; a full disk is reported by the services that store more.
        with contextlib.suppress(OSError):
            self._unsettled.write()
        for venue, command in self._normalisers.commands(at):
            if venue in self.sources:
                self.sources[venue].send_later(command)
        for source in self.sources.values():
            if not source.connected:
                continue
            source.leases.set_inconsistent(source.inconsistent_markets(at), at)
            due = source.leases.due(at)
            self._own.extend((FEED, control.stale(source.venue, market, REASON)) for market in due.stale)
            source.handle_due(due)
        if self.recorder is not None and self._ticks % RECORDED_CHECK_TICKS == 0:
            self._check_recorder(self.recorder)

    def _check_recorder(self, recorder: Recorder) -> None:
        """Request whole books and markets for a new recording file, or one with a gap."""
        recorded = (recorder.files, recorder.dropped)
        if recorded != self._recorded:
            first = self._recorded == (0, 0)
            self._recorded = recorded
            if not first:
                for source in self.sources.values():
                    self._own.append((FEED, control.setup(source.venue, dict(self._sections[source.venue]))))
                    source.refresh_all()


def _by_venue(messages: Iterable[Message]) -> dict[str, list[Message]]:
    """Group messages by their venue."""
    found: dict[str, list[Message]] = {}
    for message in messages:
        venue = getattr(message, "venue", "") or getattr(message, "instrument", "").partition(":")[0]
        found.setdefault(venue, []).append(message)
    return found
