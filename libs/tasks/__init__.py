"""Tasks that begin and end together."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def cancel_all(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait until each has ended; what they raise on the way is not raised here."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


async def run_until_first(*work: Coroutine[Any, Any, None]) -> None:
    """Run coroutines side by side until one returns or raises; the others are cancelled, an error is raised."""
    running = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await cancel_all(running)
