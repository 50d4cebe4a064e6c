"""Tasks that begin and end together."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

CANCEL_AGAIN_S = 5.0
"""A task that has not ended by then is cancelled once more: more than closing connections and files takes."""


async def cancel_all(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until each has ended; what they raise on the way is not raised here.

    Once is not enough before Python 3.12: ``asyncio.wait_for``, which nats-py's requests are made with, drops a
    cancellation that comes together with the result (python/cpython#86296), and the task's loop goes on.
    """
    ending = set(tasks)
    while ending:
        for task in ending:
            task.cancel()
        ended, ending = await asyncio.wait(ending, timeout=CANCEL_AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()


async def run_until_first(*work: Coroutine[Any, Any, None]) -> None:
    """Run coroutines side by side until one returns or raises; the others are cancelled, an error is raised."""
    running = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancel_all(running)
