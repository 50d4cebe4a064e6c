"""A clock in steps of the event loop, for tests whose both ends a busy machine keeps waiting alike."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

STEP_S = 0.01


class SteadyClock:
    """What of the module ``time`` is asked. A stall of the machine, however long, is one step of it."""

    def __init__(self) -> None:
        self._steps = 0
        self._start_ns = time.time_ns()

    def monotonic(self) -> float:
        return self._steps * STEP_S

    def time_ns(self) -> int:
        return self._start_ns + round(self._steps * STEP_S * 1_000_000_000)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self._steps += 1


@contextlib.asynccontextmanager
async def steady_clock() -> AsyncIterator[SteadyClock]:
    """A clock that goes on while the block lasts."""
    clock = SteadyClock()
    running = asyncio.create_task(clock.run())
    try:
        yield clock
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
