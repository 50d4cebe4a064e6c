"""The venues as a source: the live code path, with raw frames recorded."""

import asyncio
import contextlib
from typing import Any

from libs.runtime.service import Context
from libs.tasks import cancel_all
from services.feed.live.build import build
from services.feed.live.moment import now_ns
from services.feed.live.unsettled import UNSETTLED_FILE, UnsettledMarkets
from services.feed.news.process import NewsProcess
from services.feed.output import FeedOutput
from services.feed.recording.recorder import Recorder


class VenuesSource:
    """Follows the venues of the run file."""

    def __init__(self, context: Context, output: FeedOutput) -> None:
        layout = context.layout
        self.is_live = False
        self._output = output
        self._recorder = Recorder(layout.frames)
        self._news = NewsProcess(context.run.news)
        self._venues = build(
            context.run.venues,
            layout.feed_keys,
            output.normalisers,
            self._recorder,
            UnsettledMarkets(layout.root / UNSETTLED_FILE, now_ns()),
        )

    @property
    def detail(self) -> str:
        return self._venues.detail

    async def run(self) -> None:
        """Follow the venues for ever."""
        self._recorder.start()
        self.is_live = True
        reading = asyncio.create_task(self._news.run())
        try:
            async with contextlib.aclosing(self._venues.frames()) as frames:
                async for frame in frames:
                    messages = self._output.normalise(frame)
                    self._venues.handle_result(frame, messages)
                    if messages and await self._output.publish(messages):
                        # What waited for the broker is old: whole books follow it.
                        self._venues.resend()
                    if (news := self._news.take()) and await self._output.publish(news):
                        self._venues.resend()
        finally:
            await cancel_all([reading])
            await asyncio.to_thread(self._recorder.close)

    def health(self) -> dict[str, Any]:
        """The venues' own reports, and that of the news."""
        return self._venues.health() | self._news.health()
