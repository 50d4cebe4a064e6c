"""A live feed read as the feed's shell reads it, without a broker."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from libs.venues.frame import RawFrame
from proto.message import Message
from services.feed.live.build import build
from services.feed.live.live_feed import LiveFeed
from services.feed.normalise import DeadFrame, Normalisers
from services.feed.recording.recorder import Recorder
from tests.support.feed_observer import FeedObserver


class Session:
    """A live feed that is read as the shell reads it, without a broker."""

    def __init__(
        self, sections: dict[str, dict[str, Any]], keys: Path, recorder: Recorder | None = None
    ) -> None:
        self.normalisers = Normalisers()
        self.live: LiveFeed = build(sections, keys, self.normalisers, recorder)
        self.observer = FeedObserver()
        self.messages: list[Message] = []
        self.frames: list[RawFrame] = []
        self.dead: list[DeadFrame] = []

    async def run(self) -> None:
        async with contextlib.aclosing(self.live.frames()) as frames:
            async for frame in frames:
                result = self.normalisers.read(frame)
                if isinstance(result, DeadFrame):
                    self.dead.append(result)
                    result = []
                self.frames.append(frame)
                self.live.handle_result(frame, result)
                self.observer.handle_messages(result)
                self.messages += result

    def whole(self, *instruments: str) -> bool:
        return all(self.observer.whole(instrument) for instrument in instruments)


@asynccontextmanager
async def running(
    sections: dict[str, dict[str, Any]], tmp_path: Path, recorder: Recorder | None = None
) -> AsyncIterator[Session]:
    session = Session(sections, tmp_path / "keys" / "feed", recorder)
    task = asyncio.create_task(session.run())
    try:
        yield session
    except TimeoutError:
        if task.done():
            # What was waited for cannot come any more, and this is why.
            task.result()
        raise
    else:
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
