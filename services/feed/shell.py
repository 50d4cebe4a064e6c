"""The feed's shell: runs the one source that the run file asks for, and reports how it fares."""

import asyncio
from time import monotonic
from typing import Any

from libs.runtime.layout import BUILD
from libs.runtime.service import Context, gather_until_stopped, wait_for_lease
from libs.tape.credentials import STANDBY, standby_name
from libs.tape.reports import report_for_ever, send_report
from libs.tasks import cancel_all
from services.feed.output import FeedOutput
from services.feed.publish import FeedPublisher
from services.feed.sources.recordings import RecordingsSource
from services.feed.sources.sockets import SocketsSource
from services.feed.sources.source import Source
from services.feed.sources.synthetic import SyntheticSource
from services.feed.sources.venues import VenuesSource

LAST_FLUSH_S = 1.0
"""How long a stopping feed waits for the broker to acknowledge what was published last."""


def source_of(context: Context, output: FeedOutput) -> Source | None:
    """The source that the run file asks for; ``None`` when it asks for none."""
    run = context.run
    if run.recordings:
        return RecordingsSource(context, output)
    if run.socket_urls:
        return SocketsSource(run.socket_urls, output)
    if run.venues:
        return VenuesSource(context, output)
    if run.synthetic_seed is not None:
        return SyntheticSource(run.synthetic_seed, context.layout, output)
    return None


class FeedShell:
    """Runs a source until the service is stopped; reports health and dead frames."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._publisher = FeedPublisher(context.link, context.run.tape, BUILD, context.lease)
        self._output = FeedOutput(self._publisher)
        self._source: Source | None = None
        self._leads = context.lease is None
        if context.lease is not None:
            context.lease.known_term = lambda: self._publisher.term
            context.lease.is_ready = lambda: self._is_ready
        self._is_ready = False
        self._frames_seen = 0
        self._heard_at_s = monotonic()

    async def run(self) -> None:
        """Run what the run file asks for."""
        reporting = asyncio.create_task(report_for_ever(self._report))
        try:
            await self._publisher.start()
            self._is_ready = True
            if not await wait_for_lease(self._context):
                return
            # Whoever led before has gone on meanwhile.
            await self._publisher.find_last()
            self._leads = True
            self._source = source_of(self._context, self._output)
            if self._source is not None:
                await gather_until_stopped(self._context, self._source.run())
            if self._context.link.connected:
                await asyncio.wait_for(self._publisher.flush(), LAST_FLUSH_S)
        finally:
            await cancel_all([reporting])

    def _silent_s(self) -> int:
        """Whole seconds since the last frame came in."""
        frames = self._output.normalisers.frames
        if frames != self._frames_seen:
            self._frames_seen = frames
            self._heard_at_s = monotonic()
        return int(monotonic() - self._heard_at_s)

    def health(self) -> dict[str, Any]:
        """The feed's health report."""
        source = self._source
        state = "live" if source is not None and source.is_live else "starting"
        return (
            {
                "service": "feed" if self._leads else standby_name("feed"),
                "state": state if self._leads or not self._is_ready else STANDBY,
                "detail": "" if source is None else source.detail,
                "position": self._publisher.counter,
                "dead": self._output.dead,
                "frames": self._output.normalisers.frames,
                "silent_s": self._silent_s(),
                "published": self._publisher.published,
                "retries": self._publisher.retries,
                "violations": self._context.link.violations,
                "build": BUILD,
            }
            | self._leading()
            | ({} if source is None else source.health())
        )

    def _leading(self) -> dict[str, Any]:
        lease = self._context.lease
        return {} if lease is None else {"term": lease.term, "owner": lease.owner}

    async def _report(self) -> None:
        dead = self._output.next_dead()
        rows = [{"reason": d.reason, "source": d.source, "excerpt": d.excerpt.hex()} for d in dead]
        body = self.health() | {"dead_frames": rows, "dead_waiting": self._output.dead_waiting}
        if not await send_report(self._context.link, body["service"], body):
            self._output.return_dead(dead)
