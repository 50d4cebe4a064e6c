"""What makes a result unreliable, in words. Each warning says what was seen and why that is too little."""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.evaluation.day import ClosedTrade
from libs.performance.account import Performance
from libs.performance.returns import DAYS_MIN
from libs.view import wording
from tools.research.collector import Collector

TRADES_MIN = 100
"""Trades below which a win rate is known to no better than ten percent points (Wilson, 95 %)."""
BEST = 3
"""Trades that are left out to see whether the rest earns anything."""
STRATEGY_CHOICES = "any number of other parameters may have been tried before these"


def warnings_of(
    found: Performance, collected: Collector, sections: Mapping[str, Mapping[str, Any]], trials: int
) -> list[str]:
    """Every warning that applies."""
    trades = found.trades
    return [
        *_of_size(found, trades),
        *_of_profit(trades),
        *_of_run(found, collected, sections),
        *_of_trials(trials),
    ]


def _of_size(found: Performance, trades: Sequence[ClosedTrade]) -> list[str]:
    texts = []
    if len(trades) < TRADES_MIN:
        texts.append(
            f"{wording.counted(len(trades), 'closed trade')}, below {TRADES_MIN}: what is seen here may well be chance."
        )
    days = len(found.days)
    if days < DAYS_MIN:
        texts.append(
            f"{wording.counted(days, 'day')} of trading, below {DAYS_MIN}: no Sharpe or Sortino ratio is stated, and one"
            " day's weather is no climate."
        )
    markets = {trade.market for trade in trades}
    families = {trade.family for trade in trades}
    if trades and len(markets) == 1:
        texts.append("All trades are in one market: they won or lost together.")
    elif trades and len(families) == 1:
        texts.append(f"All trades are in one family of markets, {families.pop()}.")
    return texts


def _of_profit(trades: Sequence[ClosedTrade]) -> list[str]:
    profits = sorted((trade.profit for trade in trades), reverse=True)
    profit = sum(profits)
    texts = []
    if profit > 0 and len(profits) > BEST and sum(profits[BEST:]) <= 0:
        texts.append(f"Without the {BEST} best trades there is no profit left.")
    fees = sum(trade.fees for trade in trades)
    if profit <= 0 < profit + fees:
        texts.append("Before fees there is a profit, after fees there is none.")
    expected = sum(trade.expected for trade in trades)
    if expected > 0 and profit < expected / 2:
        texts.append(
            f"{wording.money(profit, signed=True)} was made of {wording.money(expected, signed=True)} that the"
            " strategies expected: their fair values do not hold."
        )
    return texts


def _of_run(found: Performance, collected: Collector, sections: Mapping[str, Mapping[str, Any]]) -> list[str]:
    texts = []
    latency_ms = sections["paper"]["latency_ms"]
    if collected.late_signals:
        texts.append(
            f"{collected.late_signals:,} of {wording.counted(collected.signals, 'proposal')} would be over before an order"
            f" could arrive ({latency_ms} ms)."
        )
    if not latency_ms:
        texts.append("Orders arrive at once (paper.latency_ms is 0): no venue is that near.")
    if collected.gaps:
        total = sum(collected.gaps.values())
        texts.append(f"The recording has {wording.counted(total, 'gap')}: nothing was traded in them.")
    if found.open_trades:
        texts.append(
            f"{wording.counted(found.open_trades, 'position')} still open at the end: at its marks in equity, not among"
            " the trades."
        )
    if found.left_out:
        texts.append(f"{found.left_out:,} rows beyond what is kept were left out.")
    return texts


def _of_trials(trials: int) -> list[str]:
    if not trials:
        return [f"The number of trials was not stated (--trials): {STRATEGY_CHOICES}."]
    if trials > 1:
        return [f"Chosen from {trials:,} trials: the best of many may be good by luck alone."]
    return []
