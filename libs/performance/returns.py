"""Returns of an account by day, and the figures made of them.

A day is a UTC day. Its return is what equity gained in it without deposits and withdrawals, as a share of equity at its
start and of what was paid in during it: ``(end − start − paid) / (start + max(paid, 0))``. So the first day counts from
the first deposit on, its loss included. These markets never close: a year has 365 days.

Ratios come from daily returns only, from ``DAYS_MIN`` days on; below, and where a ratio divides by nothing, there is a
reason and no number. Three well-known packages differ on such series: they take a series that only rises for prices, leave
the loss of the first day out, or count 365 days as 1.45 years.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from libs.performance.figure import Figure, known, undefined
from proto.units import SECOND

DAY = 86_400 * SECOND
DAYS_A_YEAR = 365
DAYS_MIN = 20
"""Days below which the error of a ratio is larger than any ratio that trading reaches: at 20 days a daily Sharpe ratio of
0.1 (1.9 a year) has a standard error of 0.22."""
NORMAL_95 = 1.959964
"""Two-sided 95 % of the normal distribution."""


class EquityPoint(NamedTuple):
    """Equity at a moment (nanoseconds), and all money that was paid in until then less what was taken out (millionths)."""

    at: int
    equity: int
    deposits: int


class DayReturn(NamedTuple):
    """The return of one UTC day (its start in nanoseconds) as a share: 0.01 is one percent. ``profit`` in millionths."""

    day: int
    value: float
    profit: int
    equity: int


class Drawdown(NamedTuple):
    """The deepest fall of the account's value from an earlier peak, as a share of that peak.

    ``recovered_at`` is 0 while the peak was not reached again. All are 0 where the value never fell.
    """

    depth: float
    amount: int
    peak_at: int
    trough_at: int
    recovered_at: int


def daily_returns(points: Sequence[EquityPoint], before: EquityPoint | None = None) -> list[DayReturn]:
    """Returns of each UTC day that ``points`` (in order of time) cover; days without a point earned nothing.

    The first day begins at ``before``, or with what had been paid in at its first point. A day that begins with nothing and
    is paid nothing has no return and is left out.
    """
    found: list[DayReturn] = []
    if not points:
        return found
    last = before or EquityPoint(points[0].at, points[0].deposits, points[0].deposits)
    for day, end in _ends_of_days(points):
        paid = end.deposits - last.deposits
        base = last.equity + max(paid, 0)
        profit = end.equity - last.equity - paid
        if base > 0:
            found.append(DayReturn(day, profit / base, profit, end.equity))
        last = end
    return found


def _ends_of_days(points: Sequence[EquityPoint]) -> Iterable[tuple[int, EquityPoint]]:
    """The last point of each day; a day without one repeats the one before."""
    first, last = points[0].at // DAY, points[-1].at // DAY
    ends = {point.at // DAY: point for point in points}
    point = points[0]
    for day in range(first, last + 1):
        point = ends.get(day, point)
        yield day * DAY, point


def total_return(days: Sequence[DayReturn]) -> Figure:
    """What one unit of money came to, as a share: the product of ``1 + r``, less 1 (time-weighted return)."""
    if not days:
        return undefined(0, "no day with money in the account")
    return known(math.prod(1.0 + day.value for day in days) - 1.0, len(days))


def annual_return(days: Sequence[DayReturn]) -> Figure:
    """The total return raised to a year of 365 days, from ``DAYS_MIN`` days on."""
    if len(days) < DAYS_MIN:
        return _too_few(days)
    growth = math.prod(1.0 + day.value for day in days)
    if growth <= 0:
        return known(-1.0, len(days))
    exponent = math.log(growth) * DAYS_A_YEAR / len(days)
    if exponent > 50:
        return undefined(len(days), "the return of a year at this pace is beyond any meaning")
    return known(math.expm1(exponent), len(days))


def sharpe(days: Sequence[DayReturn]) -> Figure:
    """Mean of daily returns by their standard deviation, times √365; no risk-free rate (Sharpe, The Sharpe Ratio, 1994).

    The interval is Lo's for independent returns: a daily ratio S of n days has the standard error ``√((1 + S²/2)/n)``
    (Lo, The Statistics of Sharpe Ratios, 2002).
    """
    if len(days) < DAYS_MIN:
        return _too_few(days)
    mean, deviation = _mean(days), _deviation(days)
    if deviation <= abs(mean) * 1e-12:
        return undefined(len(days), "every day returned the same")
    ratio, year = mean / deviation, math.sqrt(DAYS_A_YEAR)
    margin = NORMAL_95 * math.sqrt((1.0 + ratio * ratio / 2.0) / len(days))
    return known(ratio * year, len(days), low=(ratio - margin) * year, high=(ratio + margin) * year)


def sortino(days: Sequence[DayReturn]) -> Figure:
    """Mean of daily returns by their downside deviation, times √365, with a target of nothing.

    The downside deviation is ``√(Σ min(r, 0)² / n)`` over all n days, not only over the losing ones (Sortino and Price,
    Performance Measurement in a Downside Risk Framework, 1994).
    """
    if len(days) < DAYS_MIN:
        return _too_few(days)
    downside = math.sqrt(math.fsum(min(day.value, 0.0) ** 2 for day in days) / len(days))
    if downside == 0.0:
        return undefined(len(days), "no day lost")
    return known(_mean(days) / downside * math.sqrt(DAYS_A_YEAR), len(days))


def calmar(days: Sequence[DayReturn], drawdown: Drawdown) -> Figure:
    """Annual return by the depth of the deepest drawdown (Young, Calmar Ratio: A Smoother Tool, 1991), over all days."""
    annual = annual_return(days)
    if annual.value is None:
        return annual
    if drawdown.depth == 0.0:
        return undefined(len(days), "the account never fell")
    return known(annual.value / drawdown.depth, len(days))


class DrawdownWatch:
    """Follows the value of one unit of money over every point, and keeps its deepest fall.

    Deposits do not count as gains: the value between two points changes by ``(end − start − paid) / (start + paid)``, the
    money paid in counted as there at once. The first point is compared with what had been paid in until then.
    """

    def __init__(self) -> None:
        self.deepest = Drawdown(0.0, 0, 0, 0, 0)
        self._last: EquityPoint | None = None
        self._value = self._peak = 1.0
        self._peak_at = self._peak_equity = 0

    def add(self, point: EquityPoint) -> None:
        """Take the next point in order of time."""
        last = self._last
        if last is None:
            last = EquityPoint(point.at, point.deposits, point.deposits)
            self._peak_at, self._peak_equity = point.at, point.deposits
        self._last = point
        paid = point.deposits - last.deposits
        base = last.equity + max(paid, 0)
        if base > 0:
            self._value *= max(1.0 + (point.equity - last.equity - paid) / base, 0.0)
            self._peak_equity += paid
        if self._value >= self._peak:
            if self.deepest.depth > 0 and not self.deepest.recovered_at:
                self.deepest = self.deepest._replace(recovered_at=point.at)
            self._peak, self._peak_at, self._peak_equity = self._value, point.at, point.equity
        elif (depth := 1.0 - self._value / self._peak) > self.deepest.depth:
            self.deepest = Drawdown(depth, self._peak_equity - point.equity, self._peak_at, point.at, 0)


def deepest_drawdown(points: Iterable[EquityPoint]) -> Drawdown:
    """The deepest fall over some points, in order of time."""
    watch = DrawdownWatch()
    for point in points:
        watch.add(point)
    return watch.deepest


def _too_few(days: Sequence[DayReturn]) -> Figure:
    word = "day" if len(days) == 1 else "days"
    return undefined(len(days), f"{len(days)} {word}, below {DAYS_MIN}: too few")


def _mean(days: Sequence[DayReturn]) -> float:
    return math.fsum(day.value for day in days) / len(days)


def _deviation(days: Sequence[DayReturn]) -> float:
    mean = _mean(days)
    return math.sqrt(math.fsum((day.value - mean) ** 2 for day in days) / (len(days) - 1))
