"""The feed's shell: from raw frames to the tape, played, synthetic or from the venues."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from time import monotonic
from typing import Any

from libs.runtime.layout import BUILD, write_atomically
from libs.runtime.service import Context, gather_until_stopped
from libs.tape.reports import report_for_ever, send_report
from libs.venues.frame import RawFrame
from proto.message import Message
from proto.operator import Mode, Session
from proto.units import SECOND
from services.feed.live.build import build
from services.feed.live.live_feed import LiveFeed
from services.feed.live.moment import now_ns
from services.feed.live.unsettled import UNSETTLED_FILE, Unsettled
from services.feed.lockstep import Lockstep
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.publish import FeedPublisher, Pace
from services.feed.recording.play import play
from services.feed.recording.recorder import Recorder
from services.feed.recording.recording import open_recording
from services.feed.recording.sessions import Progress, opened_sessions
from services.feed.socket_source import SocketSource
from services.feed.synthetic.market import SyntheticMarket

TICK_S = 0.1
"""Books held back by conflation go out ten times a second even when no frame comes."""
DEAD_REPORTED_MAX = 50
"""Dead frames told to the monitor in one report; the rest only count."""
DEAD_KEPT_MAX = 1_000
SYNTHETIC_STATE_EVERY_S = 1.0


class FeedShell:
    """Publishes messages, counts dead frames, reports health. One of the ``run_*`` methods drives it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.publisher = FeedPublisher(context.link, context.run.tape, BUILD)
        self.normalisers = Normalisers()
        self.live = False
        self.detail = ""
        self.dead = 0
        self._dead_new: deque[DeadFrame] = deque(maxlen=DEAD_KEPT_MAX)
        self._retries_seen = 0
        self._frames_seen = 0
        self._heard_at_s = monotonic()
        self._venues: LiveFeed | None = None

    async def run(self) -> None:
        """Run what the run file asks for."""
        run = self._context.run
        reporting = asyncio.create_task(report_for_ever(self._report))
        try:
            await self.publisher.start()
            if run.recordings:
                await gather_until_stopped(
                    self._context, self._run_recordings([Path(p) for p in run.recordings])
                )
            elif run.socket_urls:
                await gather_until_stopped(
                    self._context, self._run_sockets(run.socket_urls), self._tick_loop()
                )
            elif run.venues:
                await gather_until_stopped(self._context, self._run_venues())
            elif run.synthetic_seed is not None:
                await gather_until_stopped(self._context, self._run_synthetic(run.synthetic_seed))
            if self._context.link.connected:
                await asyncio.wait_for(self.publisher.flush(), 1.0)
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    def bury(self, dead: DeadFrame) -> None:
        """Count a dead frame and keep it for the next report."""
        self.dead += 1
        self._dead_new.append(dead)

    # --- recordings -----------------------------------------------------------------------------

    async def _run_recordings(self, paths: list[Path]) -> None:
        progress = Progress(self._context.layout)
        names = {open_recording(path).name: path for path in paths}
        lockstep = Lockstep(self._context.link) if self._context.run.lockstep else None
        if lockstep is not None:
            await lockstep.start()
        self.live = True
        sessions = opened_sessions(self._context.link, self._context.verifier, self._context.run.tape)
        async for seq, session in sessions:
            if session.mode is not Mode.PLAYBACK or progress.finished(session):
                continue
            path = names.get(session.recording)
            if path is not None:
                await self._play(path, seq, session, progress, lockstep)

    async def _play(
        self, path: Path, seq: int, session: Session, progress: Progress, lockstep: Lockstep | None
    ) -> None:
        """Play one recording; after a restart, from the message after the last one stored."""
        began = progress.begin(session, self.publisher.counter)
        skip = self.publisher.counter - began
        pace = Pace(self._context.run.speed)
        self.normalisers = Normalisers()
        self.detail = f"playing {session.recording}"
        if lockstep is not None:
            await lockstep.settle(seq)
        for item in play(open_recording(path), self.normalisers):
            if isinstance(item, DeadFrame):
                self.bury(item)
                continue
            if skip > 0:
                skip -= 1
                continue
            if lockstep is not None:
                await lockstep.settle(await self.publisher.publish_stored(item))
            else:
                await pace.wait(item.at)  # type: ignore[attr-defined]
                await self.publisher.publish(item)
        await self.publisher.flush()
        progress.finish(session, self.publisher.counter)
        self.detail = f"played {session.recording}"

    # --- live sources ---------------------------------------------------------------------------

    async def _publish_all(self, messages: Iterable[Message]) -> None:
        for message in messages:
            await self.publisher.publish(message)
        if self.publisher.retries != self._retries_seen:
            # What waited for the broker is old: whole books follow it.
            self._retries_seen = self.publisher.retries
            if self._venues is not None:
                self._venues.resend()
                return
            for message in self.normalisers.resend(time.time_ns()):
                await self.publisher.publish(message)

    async def _read(self, frame: RawFrame) -> None:
        result = self.normalisers.read(frame)
        if isinstance(result, DeadFrame):
            self.bury(result)
        elif result:
            await self._publish_all(result)

    async def _run_venues(self) -> None:
        """Follow the venues of the run file; their raw frames are recorded."""
        recorder = Recorder(self._context.layout.frames)
        layout = self._context.layout
        unsettled = Unsettled(layout.root / UNSETTLED_FILE, now_ns())
        venues = self._venues = build(
            self._context.run.venues, layout.feed_keys, self.normalisers, recorder, unsettled
        )
        recorder.start()
        self.live = True
        try:
            async with contextlib.aclosing(venues.frames()) as frames:
                async for frame in frames:
                    result = self.normalisers.read(frame)
                    if isinstance(result, DeadFrame):
                        self.bury(result)
                        result = []
                    venues.told(frame, result)
                    if result:
                        await self._publish_all(result)
        finally:
            await asyncio.to_thread(recorder.close)

    async def _run_sockets(self, urls: list[str]) -> None:
        self.live = True
        source = SocketSource(urls, self.normalisers)
        frames: AsyncIterator[RawFrame | DeadFrame] = source.frames()
        async for frame in frames:
            if isinstance(frame, DeadFrame):
                self.bury(self.normalisers.bury(frame))
            else:
                await self._read(frame)

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._publish_all(self.normalisers.tick(time.time_ns()))

    async def _run_synthetic(self, seed: int) -> None:
        """Run the synthetic market in real time, going on where the last run left it."""
        state_file = self._context.layout.root / "synthetic.json"
        now = time.time_ns()
        if state_file.exists():
            market = SyntheticMarket.resume(json.loads(state_file.read_text()), now)
        else:
            market = SyntheticMarket(seed, now)
        self.live = True
        saved_at = ticked_at = now
        while True:
            due_ns = market.at
            for frame in market.step():
                await self._read(frame)
            if due_ns - ticked_at >= TICK_S * SECOND:
                ticked_at = due_ns
                await self._publish_all(self.normalisers.tick(due_ns))
            if due_ns - saved_at >= SYNTHETIC_STATE_EVERY_S * SECOND:
                saved_at = due_ns
                write_atomically(state_file, json.dumps(market.state()).encode())
            await asyncio.sleep(max(0.0, (market.at - time.time_ns()) / SECOND))

    # --- health ---------------------------------------------------------------------------------

    def _silent_s(self) -> int:
        """Whole seconds since the last frame came in."""
        if self.normalisers.frames != self._frames_seen:
            self._frames_seen = self.normalisers.frames
            self._heard_at_s = monotonic()
        return int(monotonic() - self._heard_at_s)

    def health(self) -> dict[str, Any]:
        """What the feed says of itself."""
        return {
            "service": "feed",
            "state": "live" if self.live else "starting",
            "detail": self.detail if self._venues is None else self._venues.detail,
            "position": self.publisher.counter,
            "dead": self.dead,
            "frames": self.normalisers.frames,
            "silent_s": self._silent_s(),
            "published": self.publisher.published,
            "retries": self.publisher.retries,
            "violations": self._context.link.violations,
            "build": BUILD,
        } | ({} if self._venues is None else self._venues.health())

    async def _report(self) -> None:
        dead = [self._dead_new.popleft() for _ in range(min(DEAD_REPORTED_MAX, len(self._dead_new)))]
        told = [{"reason": d.reason, "source": d.source, "excerpt": d.excerpt.hex()} for d in dead]
        body = self.health() | {"dead_frames": told, "dead_waiting": len(self._dead_new)}
        if not await send_report(self._context.link, "feed", body):
            self._dead_new.extendleft(reversed(dead))
