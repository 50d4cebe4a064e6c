"""The process that reads news, seen from the feed: its lines become messages, its end is a restart after a while."""

import asyncio
import json
import logging
import os
import sys
from collections import deque
from typing import Any

from pydantic import ValidationError

from libs.bounded import clip
from proto.feed import News
from proto.units import SECOND
from services.feed.live.moment import now_ns
from services.feed.news.params import NewsParams

WAITING_MAX = 500
"""Items that wait for the feed's next turn; beyond it the oldest are dropped, and counted."""
LINE_BYTES_MAX = 64 << 10
RESTART_WAIT_S = 30.0
"""A parser that died may die again of the same feed: news are not urgent."""
STOP_PATIENCE_S = 2.0

log = logging.getLogger("presage.news")


class NewsProcess:
    """Starts the reader when there are feeds to read. ``take`` gives what came since the last call."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.params = NewsParams.model_validate(document)
        self.items = 0
        self.errors = 0
        self.last_error = ""
        self._waiting: deque[News] = deque(maxlen=WAITING_MAX)

    async def run(self) -> None:
        """Read for ever; return at once without feeds."""
        while self.params.feeds:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.feed.news",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES_MAX,
                env={name: value for name, value in os.environ.items() if not name.startswith("PRESAGE_")},
            )
            try:
                await self._read(process)
            finally:
                await _end(process)
            log.warning("news reader ended, starting it again later")
            await asyncio.sleep(RESTART_WAIT_S)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(self.params.document()).encode() + b"\n")
        await process.stdin.drain()
        while line := await process.stdout.readline():
            self._handle(line)

    def _handle(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            if "error" in row:
                raise ValueError(f"{row['source']}: {row['error']}")
            news = News(
                source=row["source"],
                item=row["item"],
                title=row["title"],
                summary=row["summary"],
                address=row["address"],
                at=now_ns(),
                published_at=int(row["published_s"]) * SECOND,
            )
        except (ValueError, KeyError, TypeError, ValidationError) as e:
            self.errors += 1
            self.last_error = clip(str(e), 300)
            return
        self.items += 1
        self._waiting.append(news)

    def take(self) -> list[News]:
        """The items that came since the last call."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def health(self) -> dict[str, Any]:
        """What it adds to the feed's report."""
        return {"news": {"items": self.items, "errors": self.errors, "last_error": self.last_error}}


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_PATIENCE_S)
        except TimeoutError:
            process.kill()
            await process.wait()
