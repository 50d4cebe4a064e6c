"""Waiting in tests for something that another task brings about."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 150.0
"""What is waited for at most; it usually takes milliseconds, on a busy machine seconds."""
POLL_S = 0.005


async def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Return once ``condition`` holds; ``TimeoutError`` when it does not in time."""
    async with asyncio.timeout(patience_s):
        while not condition():
            await asyncio.sleep(POLL_S)
