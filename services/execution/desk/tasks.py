"""Work that a desk starts beside everything else, and cancels together."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from libs.tasks import cancel_all

log = logging.getLogger("presage.desk")


class BackgroundTasks:
    """The background tasks of one venue's desk. One that fails is logged, and stops no other."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background until ``close``."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("desk task failed", extra={"venue": self._venue}, exc_info=task.exception())

    async def idle(self) -> None:
        """Wait until no task runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Cancel every task."""
        await cancel_all(self._tasks)
