"""One synthetic up-or-down market: a market maker who looks at an old price, and noise around him."""

import random
from bisect import bisect_left

from libs.synthetic.digital import fair_value
from libs.synthetic.price_path import Price

# Kalshi's tapered grid in thousandths of a dollar: steps of 0.001 at the edges, 0.01 between.
GRID = (*range(1, 100), *range(100, 900, 10), *range(900, 1000))
DEPTH_LEVELS = 12
"""Levels the maker keeps on each side."""
SIZE_MIN, SIZE_MAX = 400, 2_400
"""Contracts a level: a few thousand on the first three, as in the recorded books."""
LAG_MIN_S, LAG_MAX_S = 30.0, 90.0
"""How far behind the price a market's maker looks; drawn once a market."""
HALF_SPREAD_STEPS = 1
"""The maker's best prices are so many grid steps from his fair value."""

REQUOTE_CHANCE = 0.35
REPLACE_CHANCE = 0.5
TRADE_CHANCE = 0.08
TRADE_MAX = 90
"""Contracts of the largest noise trade: far below a level, so noise does not move the price."""

YES, NO = "yes", "no"


class Change:
    """A level changed, by a trade or without: ``mills`` is the price in its side's own space."""

    __slots__ = ("contracts", "mills", "side", "taker")

    def __init__(self, side: str, mills: int, contracts: int, taker: str = "") -> None:
        self.side = side
        self.mills = mills
        self.contracts = contracts
        self.taker = taker


class SyntheticBook:
    """The book of one market. Bids and asks by grid index; an ask is a bid for NO at one minus it."""

    def __init__(self, draw: random.Random, lag_s: float) -> None:
        self.lag_s = lag_s
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self._draw = draw
        self._centre = 0

    def step(self, price: Price, strike: float, time_left_s: float) -> list[Change]:
        """A tenth of a second: requote, replace, trade, each with its chance."""
        draw = self._draw
        changes: list[Change] = []
        if not self.bids or draw.random() < REQUOTE_CHANCE:
            fair = fair_value(price.ago(self.lag_s), strike, time_left_s)
            self._requote(bisect_left(GRID, round(1000 * fair)), changes)
        if draw.random() < REPLACE_CHANCE:
            self._replace(changes)
        if draw.random() < TRADE_CHANCE:
            self._trade(changes)
        return changes

    def side_levels(self, side: str) -> list[tuple[int, int]]:
        """Price in mills and contracts of one side, ascending as the venue sends them."""
        if side == YES:
            return [(GRID[i], self.bids[i]) for i in sorted(self.bids)]
        return [(1000 - GRID[i], self.asks[i]) for i in sorted(self.asks, reverse=True)]

    def best(self) -> tuple[int, int]:
        """Best bid and ask of YES in mills; 0 and 1000 for an empty side."""
        bid = GRID[max(self.bids)] if self.bids else 0
        ask = GRID[min(self.asks)] if self.asks else 1000
        return bid, ask

    def _requote(self, centre: int, changes: list[Change]) -> None:
        """Move all quotes around a new centre: what would be in the way goes first."""
        centre = min(max(centre, 0), len(GRID) - 1)
        bids = range(max(0, centre - HALF_SPREAD_STEPS - DEPTH_LEVELS + 1), centre - HALF_SPREAD_STEPS + 1)
        first_ask = centre + HALF_SPREAD_STEPS
        asks = range(first_ask, min(len(GRID), first_ask + DEPTH_LEVELS))
        for i in [i for i in self.bids if i not in bids]:
            self._set(YES, i, 0, changes)
        for i in [i for i in self.asks if i not in asks]:
            self._set(NO, i, 0, changes)
        for i in bids:
            if i not in self.bids:
                self._set(YES, i, self._draw.randint(SIZE_MIN, SIZE_MAX), changes)
        for i in asks:
            if i not in self.asks:
                self._set(NO, i, self._draw.randint(SIZE_MIN, SIZE_MAX), changes)

    def _replace(self, changes: list[Change]) -> None:
        """Somebody cancels at one level and places anew: its size changes."""
        side = YES if self._draw.random() < 0.5 else NO
        levels = self.bids if side == YES else self.asks
        if levels:
            near = sorted(levels, reverse=side == YES)
            i = near[min(int(self._draw.expovariate(0.35)), len(near) - 1)]
            self._set(side, i, self._draw.randint(SIZE_MIN, SIZE_MAX), changes)

    def _trade(self, changes: list[Change]) -> None:
        """A noise trader takes from the best level of one side."""
        taker = YES if self._draw.random() < 0.5 else NO
        levels = self.asks if taker == YES else self.bids
        if not levels:
            return
        i = min(levels) if taker == YES else max(levels)
        contracts = min(self._draw.randint(1, TRADE_MAX), levels[i])
        self._set(NO if taker == YES else YES, i, levels[i] - contracts, changes, taker)

    def _set(self, side: str, i: int, contracts: int, changes: list[Change], taker: str = "") -> None:
        levels = self.bids if side == YES else self.asks
        mills = GRID[i] if side == YES else 1000 - GRID[i]
        change = contracts - levels.get(i, 0)
        if contracts:
            levels[i] = contracts
        else:
            levels.pop(i, None)
        if change:
            changes.append(Change(side, mills, change, taker))
