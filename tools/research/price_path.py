"""Prices of an instrument for a chart: evenly thinned, so that any length fits."""

from proto.units import SECOND

POINTS_MAX = 600
"""More than a chart has columns."""


class PricePath:
    """The newest price in each step of time; the step doubles when there are too many."""

    def __init__(self) -> None:
        self._step = SECOND
        self._points: dict[int, int] = {}

    def add(self, at: int, price: int) -> None:
        """Take a price (millionths) at a moment (nanoseconds)."""
        self._points[at // self._step] = price
        if len(self._points) > POINTS_MAX:
            self._step *= 2
            self._points = {place // 2: value for place, value in self._points.items()}

    def points(self) -> list[tuple[int, int]]:
        """Moments and prices, in order of time."""
        return [(place * self._step, price) for place, price in sorted(self._points.items())]
