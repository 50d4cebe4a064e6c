"""Figures of closed trades: how often they won, what they made, and whether they captured what was expected of them.

A trade goes from nothing held to nothing held in one instrument; its profit is after fees. Sums are exact (millionths), so
the parts of any split add up to the whole. Positions in one event end together: they are one sample of chance, so
the interval of the profit per unit staked draws events, not trades.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from libs.performance.figure import Figure, known, undefined
from proto.units import ONE, SECOND

TRADES_MIN = 20
"""Trades below which an interval is not stated."""
RESAMPLES_MIN, RESAMPLES_MAX = 200, 2_000
DRAWS = 2_000_000
"""The bootstrap draws so many events in all, a second's work: 2,000 samples of up to 1,000 events (the error of a 2.5 %
bound is then below a tenth of the interval's width), fewer of more, whose means scatter less."""
SEED = 7
"""The draws are the same each time, so a report made again is the same."""
FORECAST_MIN = 1e-6
"""Probabilities are millionths: nothing nearer to certain can be said, and a wrong one has a finite loss."""


class TradeResult(NamedTuple):
    """One closed trade. Money in millionths, moments in nanoseconds.

    ``staked``: what the entry cost. ``expected``: what the strategy expected to make of it when it was approved.
    ``slippage``: money paid beyond the prices that were seen. ``event``: what decides it, usually the market.
    """

    strategy: str
    family: str
    venue: str
    event: str
    ended: str
    opened_at: int
    closed_at: int
    staked: int
    received: int
    profit: int
    fees: int
    expected: int
    slippage: int


class TradeFigures(NamedTuple):
    """Figures of a group of trades; money in millionths."""

    trades: int
    profit: int
    realised_profit: int
    fees: int
    staked: int
    win_rate: Figure
    profit_factor: Figure
    expectancy: Figure
    profit_per_stake: Figure
    edge_expected: int
    edge_captured: int
    slippage: int

    def document(self) -> dict[str, object]:
        """As plain data."""
        return {
            name: value.document() if isinstance(value, Figure) else value
            for name, value in self._asdict().items()
        }


def trade_figures(trades: Sequence[TradeResult], *, with_bootstrap: bool = True) -> TradeFigures:
    """Every figure of a group of trades; ``with_bootstrap``: the interval too that takes up to a second."""
    profit = sum(trade.profit for trade in trades)
    fees = sum(trade.fees for trade in trades)
    return TradeFigures(
        trades=len(trades),
        profit=profit,
        realised_profit=profit + fees,
        fees=fees,
        staked=sum(trade.staked for trade in trades),
        win_rate=win_rate(trades),
        profit_factor=profit_factor(trades),
        expectancy=expectancy(trades),
        profit_per_stake=profit_per_stake(trades, with_bootstrap=with_bootstrap),
        edge_expected=sum(trade.expected for trade in trades),
        edge_captured=profit,
        slippage=sum(trade.slippage for trade in trades),
    )


def win_rate(trades: Sequence[TradeResult]) -> Figure:
    """Share of trades with a profit above nothing after fees; the interval is Wilson's (Probable Inference, 1927)."""
    count = len(trades)
    if not count:
        return undefined(0, "no trade")
    share = sum(trade.profit > 0 for trade in trades) / count
    z = 1.959964
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    margin = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return known(share, count, low=max(0.0, centre - margin), high=min(1.0, centre + margin))


def profit_factor(trades: Sequence[TradeResult]) -> Figure:
    """Profits of the trades that won by losses of those that lost."""
    won = sum(trade.profit for trade in trades if trade.profit > 0)
    lost = -sum(trade.profit for trade in trades if trade.profit < 0)
    if not trades:
        return undefined(0, "no trade")
    if not lost:
        return undefined(len(trades), "no trade lost")
    return known(won / lost, len(trades))


def expectancy(trades: Sequence[TradeResult]) -> Figure:
    """Mean profit of a trade, in dollars."""
    if not trades:
        return undefined(0, "no trade")
    return known(sum(trade.profit for trade in trades) / len(trades) / ONE, len(trades))


def profit_per_stake(trades: Sequence[TradeResult], *, with_bootstrap: bool = True) -> Figure:
    """Profit by unit of money staked, with a 95 % bootstrap interval that draws whole events.

    Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
    """
    staked = sum(trade.staked for trade in trades)
    if staked <= 0:
        return undefined(len(trades), "nothing was staked")
    value = sum(trade.profit for trade in trades) / staked
    events: dict[str, tuple[int, int]] = {}
    for trade in trades:
        profit, stake = events.get(trade.event, (0, 0))
        events[trade.event] = (profit + trade.profit, stake + trade.staked)
    if not with_bootstrap or len(events) < TRADES_MIN:
        return known(value, len(events))
    rows, random = list(events.values()), Random(SEED)
    count = min(max(DRAWS // len(rows), RESAMPLES_MIN), RESAMPLES_MAX)
    drawn = sorted(_resampled(rows, random) for _ in range(count))
    return known(value, len(events), low=drawn[count // 40], high=drawn[-(count // 40) - 1])


def _resampled(rows: Sequence[tuple[int, int]], random: Random) -> float:
    sample = random.choices(rows, k=len(rows))
    staked = sum(stake for _, stake in sample)
    return sum(profit for profit, _ in sample) / staked if staked > 0 else 0.0


def split(
    trades: Iterable[TradeResult], key: Callable[[TradeResult], str]
) -> Mapping[str, list[TradeResult]]:
    """Trades by a key, in the order of the keys; every trade is in exactly one part."""
    parts: dict[str, list[TradeResult]] = {}
    for trade in trades:
        parts.setdefault(key(trade), []).append(trade)
    return dict(sorted(parts.items()))


HOUR = 3_600 * SECOND
DAY = 24 * HOUR
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday."""


def weekday_of(at: int) -> str:
    """The weekday of a moment, UTC, with its number before it so that weeks sort."""
    number = (at // DAY + _EPOCH_WEEKDAY) % 7
    return f"{number + 1} {WEEKDAYS[number]}"


SPLITS: Mapping[str, Callable[[TradeResult], str]] = {
    "strategy": lambda trade: trade.strategy,
    "family": lambda trade: trade.family,
    "venue": lambda trade: trade.venue,
    "hour": lambda trade: f"{trade.closed_at // HOUR % 24:02}",
    "weekday": lambda trade: weekday_of(trade.closed_at),
    "exit": lambda trade: trade.ended,
}
"""What trades can be split by; hours and weekdays are those of their end, UTC."""


class Called(NamedTuple):
    """A strategy's probability of an outcome and whether it happened; millionths."""

    fair_value: int
    happened: bool


def brier(calls: Sequence[Called]) -> Figure:
    """Mean of (p − o)² (Brier, Verification of Forecasts Expressed in Terms of Probability, 1950)."""
    if not calls:
        return undefined(0, "no outcome yet")
    total = sum((call.fair_value - (ONE if call.happened else 0)) ** 2 for call in calls)
    return known(total / len(calls) / ONE / ONE, len(calls))


def log_score(calls: Sequence[Called]) -> Figure:
    """Mean of −ln of the probability given to what happened, in nats (Good, Rational Decisions, 1952)."""
    if not calls:
        return undefined(0, "no outcome yet")
    losses = (
        -math.log(max((call.fair_value if call.happened else ONE - call.fair_value) / ONE, FORECAST_MIN))
        for call in calls
    )
    return known(math.fsum(losses) / len(calls), len(calls))


def time_in_market(trades: Sequence[TradeResult], began_at: int, ended_at: int) -> Figure:
    """Share of the time from ``began_at`` to ``ended_at`` in which at least one trade was open."""
    if ended_at <= began_at:
        return undefined(len(trades), "no time passed")
    total, until = 0, began_at
    for opened, closed in sorted((trade.opened_at, trade.closed_at) for trade in trades):
        start, end = max(opened, until), min(closed, ended_at)
        if end > start:
            total += end - start
            until = end
    return known(total / (ended_at - began_at), len(trades))


def turnover(trades: Sequence[TradeResult], mean_equity: float) -> Figure:
    """Money traded, in and out, by mean equity."""
    if mean_equity <= 0:
        return undefined(len(trades), "no equity")
    traded = sum(trade.staked + trade.received for trade in trades)
    return known(traded / mean_equity, len(trades))
