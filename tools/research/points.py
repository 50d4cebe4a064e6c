"""Settings to try: a value for each varied path, from lists or ranges, as a grid or drawn from it by a seed."""

import math
import re
from collections.abc import Mapping, Sequence
from random import Random

from tools.exit_codes import UsageError

POINTS_MAX = 10_000
"""Runs of one sweep: at a second each, three hours."""
VALUES_MAX = 1_000
"""Values of one setting."""
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?):(-?\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")

Point = dict[str, str]
"""Path → value, as ``--set`` takes them."""


def parse_vary(texts: Sequence[str]) -> dict[str, list[str]]:
    """Paths with their values, of ``PATH=A,B,C`` or ``PATH=LOW:HIGH:STEP`` (both ends in).

    Raises:
        UsageError: one is neither, names a path twice, or has too many values.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        path, is_set, values = text.partition("=")
        if not is_set or not path or not values or path in found:
            raise UsageError(f"expected PATH=A,B,C or PATH=LOW:HIGH:STEP, each path once, was {text!r}")
        named = _RANGE.fullmatch(values)
        listed = _range(text, *named.groups()) if named else values.split(",")
        if not all(listed) or len(set(listed)) != len(listed):
            raise UsageError(f"expected values that differ, was {text!r}")
        found[path] = listed
    if not found:
        raise UsageError("expected at least one --vary, was none")
    return found


def _range(text: str, low: str, high: str, step: str) -> list[str]:
    """The values of a range as exact decimals, written as its ends are."""
    digits = max(len(part.partition(".")[2]) for part in (low, high, step))
    first, last, width = (_scaled(part, digits) for part in (low, high, step))
    if width <= 0 or last < first or (last - first) // width >= VALUES_MAX:
        raise UsageError(f"expected a range of at most {VALUES_MAX} values with a step above 0, was {text!r}")
    return [_decimal(value, digits) for value in range(first, last + 1, width)]


def _scaled(text: str, digits: int) -> int:
    whole, _, fraction = text.removeprefix("-").partition(".")
    value = int(whole + fraction.ljust(digits, "0"))
    return -value if text.startswith("-") else value


def _decimal(value: int, digits: int) -> str:
    if not digits:
        return str(value)
    whole, fraction = divmod(abs(value), 10**digits)
    return f"{'-' if value < 0 else ''}{whole}.{fraction:0{digits}d}"


def points_of(vary: Mapping[str, Sequence[str]], count: int = 0, seed: int = 0) -> list[Point]:
    """Every point of the grid, in the order of its values; with ``count`` so many of them, drawn by the seed.

    Raises:
        UsageError: they are too many.
    """
    size = math.prod(len(values) for values in vary.values())
    if not count and size > POINTS_MAX:
        raise UsageError(
            f"expected a grid of at most {POINTS_MAX:,} points, was {size:,}: draw some with --random N"
        )
    if count > POINTS_MAX:
        raise UsageError(f"expected at most {POINTS_MAX:,} points, was {count:,}")
    places = range(size) if not count or count >= size else sorted(Random(seed).sample(range(size), count))
    return [_point(vary, place) for place in places]


def _point(vary: Mapping[str, Sequence[str]], place: int) -> Point:
    """The point of a number: its digits, each in the base of its setting, the last setting counting fastest."""
    point: Point = {}
    for path, values in reversed(list(vary.items())):
        place, digit = divmod(place, len(values))
        point[path] = values[digit]
    return dict(reversed(list(point.items())))


def neighbours(vary: Mapping[str, Sequence[str]], point: Point, other: Point) -> bool:
    """Whether two points differ by one step of one setting."""
    steps = [abs(values.index(point[path]) - values.index(other[path])) for path, values in vary.items()]
    return sum(steps) == 1
