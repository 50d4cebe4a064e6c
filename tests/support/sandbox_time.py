"""Time of a live sandbox that passes at once, in a test's own process."""

import time
from collections.abc import Callable

from proto.units import SECOND
from sandbox.server import Sandbox
from tests.support.waiting import until

STEP_NS = 10 * SECOND
"""Longer than a market takes for a step from its close to its end."""


async def jump(sandbox: Sandbox, to_ns: int) -> None:
    """Let the world live through the time to a moment at once; nobody quotes any more."""
    sandbox.world.makers.pause()
    sandbox.world.makers.stop_all()
    ahead_ns = to_ns - time.time_ns()
    sandbox.world._clock = lambda: time.time_ns() + ahead_ns
    await until(lambda: sandbox.world.at >= to_ns)


async def jump_until(sandbox: Sandbox, condition: Callable[[], bool]) -> None:
    """Jump on until a market got there: each of its steps counts its seconds from the one before."""
    while not condition():
        await jump(sandbox, sandbox.world.at + STEP_NS)
