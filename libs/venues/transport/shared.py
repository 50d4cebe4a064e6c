"""Questions whose answer serves everybody who asked before it began."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from libs.tasks import cancel_all

HttpAnswer = TypeVar("HttpAnswer")


class SharedQuestion(Generic[HttpAnswer]):
    """One request at a time for each key; a call made meanwhile shares the next one.

    No answer is older than the question it is given to, so it proves as much as one asked alone. However
    many ask at once, a venue is asked twice at most.
    """

    def __init__(self, ask: Callable[[str], Awaitable[HttpAnswer]]) -> None:
        self._ask = ask
        self._next: dict[str, asyncio.Task[HttpAnswer]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[HttpAnswer]] = set()

    async def get(self, key: str) -> HttpAnswer:
        """The answer to a question that has not begun yet. Raises what asking raises."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._run(key))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        # Who gives up does not take the answer away from the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is under way."""
        await cancel_all(self._tasks)

    async def _run(self, key: str) -> HttpAnswer:
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                del self._next[key]
                return await self._ask(key)
        finally:
            if key not in self._next:
                self._locks.pop(key, None)

    def _done(self, task: asyncio.Task[HttpAnswer]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Read here, in case that everybody has given up meanwhile.
            task.exception()
