"""Sockets as a source: addresses that send raw venue frames."""

import asyncio
import time
from typing import Any

from libs.tasks import run_until_first
from services.feed.normalise import DeadFrame
from services.feed.output import TICK_S, FeedOutput
from services.feed.sources.socket_frames import SocketFrames


class SocketsSource:
    """Publishes the frames of all addresses as they come."""

    def __init__(self, urls: list[str], output: FeedOutput) -> None:
        self.is_live = False
        self.detail = ""
        self._urls = urls
        self._output = output

    async def run(self) -> None:
        """Read for ever; held-back books leave ten times a second."""
        self.is_live = True
        await run_until_first(self._read(), self._tick())

    async def _read(self) -> None:
        source = SocketFrames(self._urls, self._output.normalisers)
        async for frame in source.frames():
            if isinstance(frame, DeadFrame):
                self._output.keep_dead(self._output.normalisers.count_lost(frame))
            else:
                await self._output.publish_frame(frame)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._output.publish_fresh(self._output.normalisers.tick(time.time_ns()))

    def health(self) -> dict[str, Any]:
        """Nothing beyond what every source reports."""
        return {}
