"""Price grids of Kalshi's markets: the bands of a market, or what the name of its structure means.

Source: docs/reference/venue-facts.md, Kalshi numbers.
"""

import re
from collections.abc import Sequence

from libs.venues.frame import FrameError
from libs.venues.kalshi.schemas.wire import PriceRange
from libs.venues.numbers import PRICE_GRID, number
from proto.feed import PriceStep
from proto.units import ONE

PRICE_RANGES_MAX = 32
"""Bands of a price grid; the finest structure documented has three."""
LINEAR_CENT = (PriceStep(0, 10_000),)
_STEPS = {"whole": 10_000, "half": 5_000, "quint": 2_000, "deci": 1_000, "centi": 100}
"""What the parts of a structure's name mean, in millionths of a dollar."""
_TAPERED = re.compile(r"center_([a-z]+)_edge_([a-z]+)_cent")
_EDGE, _EDGE_OF_CENTI = 100_000, 10_000
"""Where the bands at the edges end: 0.10, and 0.01 where their step is a hundredth of a cent."""


def _bands(center: int, edge: int, width: int = _EDGE) -> tuple[PriceStep, ...]:
    if center == edge:
        return (PriceStep(0, center),)
    return (PriceStep(0, edge), PriceStep(width, center), PriceStep(ONE - width, edge))


TAPERED = _bands(10_000, 1_000)
STRUCTURES = {
    "linear_cent": LINEAR_CENT,
    "deci_cent": (PriceStep(0, 1_000),),
    "tapered_deci_cent": TAPERED,
}
"""Price steps by ``price_level_structure``, of names from before the naming rule."""


def structure_steps(name: str) -> tuple[PriceStep, ...]:
    """The grid that a structure's name stands for; nothing for a name that is not understood."""
    named = _TAPERED.fullmatch(name)
    if named is None:
        return STRUCTURES.get(name, ())
    center, edge = _STEPS.get(named[1], 0), _STEPS.get(named[2], 0)
    if not center or not edge:
        return ()
    return _bands(center, edge, _EDGE_OF_CENTI if named[2] == "centi" else _EDGE)


def price_steps(ranges: Sequence[PriceRange]) -> tuple[PriceStep, ...]:
    """The price grid of a market, lowest band first; nothing for none.

    Raises:
        FrameError: for bands that are no grid.
    """
    if len(ranges) > PRICE_RANGES_MAX:
        raise FrameError(f"expected at most {PRICE_RANGES_MAX} price ranges, was {len(ranges)}")
    rows = sorted((number(row.start), number(row.step)) for row in ranges)
    for start, step in rows:
        if not (0 <= start < ONE and 0 < step <= ONE) or start % PRICE_GRID or step % PRICE_GRID:
            raise FrameError(f"expected a price range on the grid of 0.0001, was {start} by {step}")
    return tuple(PriceStep(start, step) for start, step in rows)
