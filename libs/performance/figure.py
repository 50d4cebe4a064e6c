"""A figure, or the reason why there is none. Never infinite, never NaN, and never a number from too few samples."""

import math
from typing import NamedTuple


class Figure(NamedTuple):
    """A statistic with its number of samples; ``value`` is ``None`` where ``reason`` says why.

    ``low`` and ``high`` bound a 95 % interval where one is stated.
    """

    value: float | None
    samples: int
    reason: str = ""
    low: float | None = None
    high: float | None = None

    def document(self) -> dict[str, float | int | str | None]:
        """As plain data: what has no number is null, with the reason beside it."""
        return self._asdict()


def known(value: float, samples: int, *, low: float | None = None, high: float | None = None) -> Figure:
    """A figure with a number.

    Raises:
        ValueError: the number is not finite: its definition should have said what is undefined.
    """
    if not math.isfinite(value):
        raise ValueError(f"expected a finite figure, was {value}")
    return Figure(value, samples, "", low, high)


def undefined(samples: int, reason: str) -> Figure:
    """No figure, and why."""
    return Figure(None, samples, reason)
