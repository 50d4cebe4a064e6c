"""The feed's clock."""

import time


def now_ns() -> int:
    """Wall clock, nanoseconds since 1970."""
    return time.time_ns()
