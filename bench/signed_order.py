"""What both sides of the signing bench sign, and how they are timed. It runs in the clients' environment too."""

import gc
from collections.abc import Callable
from time import perf_counter_ns

WARM_UP = 50

# Worthless on purpose: nobody's money depends on these.
PRIVATE_KEY = bytes(range(1, 33))
SECRET = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
AT_S = 1_700_000_000


def timed(sign: Callable[[int], object], count: int) -> list[float]:
    """Milliseconds of each call, sorted; garbage is collected before, not in between."""
    for number in range(WARM_UP):
        sign(number)
    took = []
    gc.collect()
    gc.disable()
    try:
        for number in range(count):
            began = perf_counter_ns()
            sign(number)
            took.append((perf_counter_ns() - began) / 1e6)
    finally:
        gc.enable()
    return sorted(took)
