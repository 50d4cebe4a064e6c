"""Chart patterns by stated definitions, over the logarithms of closed candles' last prices, oldest first.

Every definition is for the upward form; a series turned upside down gives the downward one. Lengths are in σ, the root mean
square of the candles' changes in what is given. A pattern is complete on the newest candle and on no other: the candle before
it was not beyond the line. A low is a candle that is the lowest of the ``WING_COUNT`` on either side. Forms follow Edwards and
Magee, Technical Analysis of Stock Trends, 1948, made exact in the manner of Lo, Mamaysky and Wang, Foundations of Technical
Analysis, 2000. What each comes to by chance is counted in the tests.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

WING_COUNT = 3
"""Candles on either side of which a low is the lowest: a turn of minutes and no flicker."""
PATTERN_CANDLES_MIN = 40
"""Fewer candles hold no head between two shoulders."""


class Pattern(NamedTuple):
    """A pattern that the newest candle completed. ``height``: log distance of its line from its far end."""

    name: str
    side: int
    height: float


class Form(NamedTuple):
    """An upward pattern: its names upward and downward, and what finds its height (0: not there)."""

    up: str
    down: str
    height: Callable[[Sequence[float], float], float]


def find_pattern(logs: Sequence[float]) -> Pattern | None:
    """The pattern that the newest candle completed, the rarest first; ``None`` without one."""
    if len(logs) < PATTERN_CANDLES_MIN:
        return None
    sigma = math.sqrt(math.fsum((b - a) ** 2 for a, b in pairwise(logs)) / (len(logs) - 1))
    if sigma <= 0.0:
        return None
    turned = [-value for value in logs]
    for form in FORMS:
        for side, series in ((1, logs), (-1, turned)):
            height = form.height(series, sigma)
            if height > 0.0:
                return Pattern(form.up if side > 0 else form.down, side, height)
    return None


def lows(x: Sequence[float]) -> list[int]:
    """Where the series before its newest candle has its lows."""
    found = []
    for index in range(WING_COUNT, len(x) - 1 - WING_COUNT):
        wings = (*x[index - WING_COUNT : index], *x[index + 1 : index + 1 + WING_COUNT])
        if x[index] < min(wings):
            found.append(index)
    return found


def head_and_shoulders(x: Sequence[float], sigma: float) -> float:
    """Inverse head and shoulders: of the last three lows the middle one is lower than both by 2 σ, and those are within 1.5 σ.

    The neckline goes through the highest candles between them; the newest candle is above it, the one before was not.
    """
    found = lows(x)[-3:]
    if len(found) < 3:
        return 0.0
    left, head, right = found
    if x[head] > min(x[left], x[right]) - 2 * sigma or abs(x[left] - x[right]) > 1.5 * sigma:
        return 0.0
    first = max(range(left, head), key=x.__getitem__)
    second = max(range(head, right), key=x.__getitem__)
    slope = (x[second] - x[first]) / (second - first)
    newest = len(x) - 1
    if any(x[index] > x[second] + slope * (index - second) for index in range(right, newest)):
        return 0.0
    is_beyond = x[newest] > x[second] + slope * (newest - second)
    return x[first] + slope * (head - first) - x[head] if is_beyond else 0.0


def double_bottom(x: Sequence[float], sigma: float) -> float:
    """The last two lows are within 1 σ, 5 to 40 candles apart, the highest candle between them 3 σ above, and so was the way in.

    The newest candle is above that highest one, and none since the second low was.
    """
    found = lows(x)[-2:]
    if len(found) < 2 or not 5 <= found[1] - found[0] <= 40:
        return 0.0
    first, second = found
    peak, bottom = max(x[first:second]), max(x[first], x[second])
    is_deep = peak - bottom >= 3 * sigma and max(x[max(0, first - 20) : first]) - x[first] >= 3 * sigma
    if not is_deep or abs(x[first] - x[second]) > sigma or max(x[second:-1]) > peak:
        return 0.0
    return peak - (x[first] + x[second]) / 2 if x[-1] > peak else 0.0


def flag(x: Sequence[float], sigma: float) -> float:
    """A pole of 5 σ or more in five candles, then four to ten candles that give back at most half of it and pass its end by none.

    The newest candle passes the pole's end.
    """
    for length in range(4, 11):
        end = len(x) - 2 - length
        pole = x[end] - x[end - 5]
        rest = x[end + 1 : -1]
        if pole >= 5 * sigma and max(rest) <= x[end] < x[-1] and x[end] - min(rest) <= pole / 2:
            return pole
    return 0.0


def resistance(x: Sequence[float], sigma: float) -> float:
    """The last three highs are within 1 σ; the newest candle is half a σ above the highest of them, and none between was."""
    found = lows([-value for value in x])[-3:]
    if len(found) < 3:
        return 0.0
    tops = [x[index] for index in found]
    line = max(tops) + sigma / 2
    if max(tops) - min(tops) > sigma or max(x[found[0] : -1]) > line or x[-1] <= line:
        return 0.0
    return max(tops) - min(x[found[0] : found[2]])


def range_breakout(x: Sequence[float], sigma: float) -> float:
    """The twenty candles before the newest lie within 4 σ (a random walk spans about 7), and it is half a σ above them."""
    before = x[-21:-1]
    height = max(before) - min(before)
    return height if height <= 4 * sigma and x[-1] > max(before) + sigma / 2 else 0.0


FORMS = (
    Form("inverse head and shoulders", "head and shoulders", head_and_shoulders),
    Form("double bottom", "double top", double_bottom),
    Form("flag upward", "flag downward", flag),
    Form("break of resistance", "break of support", resistance),
    Form("range left upward", "range left downward", range_breakout),
)
