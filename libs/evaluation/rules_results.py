"""Leaks in the results: families and strategies that lose, fees that eat the edge, roles worse than the market."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev

from libs.evaluation.day import ClosedTrade, TradingDay
from libs.evaluation.finding import CASES_MIN, Checked, Finding, dollars, evidence_of, percent
from proto.units import ONE, SECOND, show

LOSING_T = -1.5
"""Mean over its standard error: a family below that loses by more than chance (one in fifteen by chance alone)."""
CAPTURED_SHARE = 50
"""Per cent of the expected edge that a strategy should capture."""
FEE_SHARE = 60
"""Per cent of the edge before fees that fees may take."""
AGAIN_S = 3_600
"""Entered again within the hour after a loss in the same market."""
ROLE_MARKETS_MIN = 30
"""Ended markets before a role's score says anything."""
FORECASTS_UNUSED_MIN = 10


def _by(trades: Iterable[ClosedTrade], key: Callable[[ClosedTrade], str]) -> dict[str, list[ClosedTrade]]:
    found: dict[str, list[ClosedTrade]] = {}
    for trade in trades:
        found.setdefault(key(trade), []).append(trade)
    return dict(sorted(found.items()))


def losing_family(day: TradingDay) -> Checked:
    """A family of markets that loses more than it wins, by more than chance."""
    found = []
    for family, trades in _by(day.trades, lambda trade: trade.family).items():
        profits = [trade.profit for trade in trades]
        loss = -sum(profits)
        if len(trades) < CASES_MIN or loss <= 0:
            continue
        spread = stdev(profits)
        if spread and fmean(profits) / spread * sqrt(len(profits)) >= LOSING_T:
            continue
        losers = sorted((trade for trade in trades if trade.profit < 0), key=lambda trade: trade.profit)
        text = f"{len(trades)} trades in {family} lost {dollars(loss)}, {len(losers)} of them at a loss"
        found.append(Finding("losing_family", family, text, len(trades), loss, evidence_of(losers)))
    return Checked(len(day.trades), tuple(found))


def edge_not_captured(day: TradingDay) -> Checked:
    """A strategy that captures less than half of the edge that it expects."""
    found = []
    for strategy, trades in _by(day.trades, lambda trade: trade.strategy).items():
        expected, captured = sum(t.expected for t in trades), sum(t.profit for t in trades)
        if len(trades) < CASES_MIN or expected <= 0 or captured * 100 >= CAPTURED_SHARE * expected:
            continue
        worst = sorted(trades, key=lambda trade: trade.profit - trade.expected)
        text = (
            f"{strategy} expected {dollars(expected)} of {len(trades)} trades and made {dollars(captured)} "
            f"({percent(captured, expected)})"
        )
        paths = (f"signal.{strategy}.edge_min", f"signal.{strategy}.z_min")
        found.append(
            Finding(
                "edge_not_captured",
                strategy,
                text,
                len(trades),
                expected - captured,
                evidence_of(worst),
                paths,
            )
        )
    return Checked(len(day.trades), tuple(found))


def fees_above_edge(day: TradingDay) -> Checked:
    """Fees that take most of the edge before fees."""
    found = []
    for strategy, trades in _by(day.trades, lambda trade: trade.strategy).items():
        fees = sum(trade.fees for trade in trades)
        # An entry's fee is in the expected edge already, that of leaving again is not: without both it is before fees.
        entry_fees = sum(entry.fees for trade in trades for entry in trade.entries)
        gross = sum(trade.expected for trade in trades) + entry_fees
        if len(trades) < CASES_MIN or gross <= 0 or fees * 100 <= FEE_SHARE * gross:
            continue
        dear = sorted(trades, key=lambda trade: -trade.fees)
        text = (
            f"{strategy} paid {dollars(fees)} of fees in {len(trades)} trades for an expected edge of {dollars(gross)} "
            f"before fees ({percent(fees, gross)})"
        )
        cost = fees - gross * FEE_SHARE // 100
        paths = (f"signal.{strategy}.edge_min",)
        found.append(Finding("fees_above_edge", strategy, text, len(trades), cost, evidence_of(dear), paths))
    return Checked(len(day.trades), tuple(found))


def again_after_loss(day: TradingDay) -> Checked:
    """The same market entered again within an hour after a loss in it, with another loss."""
    again: list[ClosedTrade] = []
    for trades in _by(day.trades, lambda trade: trade.market).values():
        ordered = sorted(trades, key=lambda trade: trade.opened_at)
        again += [
            later
            for earlier, later in pairwise(ordered)
            if earlier.profit < 0 and 0 <= later.opened_at - earlier.closed_at < AGAIN_S * SECOND
        ]
    loss = -sum(trade.profit for trade in again)
    if len(again) < CASES_MIN or loss <= 0:
        return Checked(len(again))
    losers = [trade for trade in again if trade.profit < 0]
    paths = tuple(f"signal.{name}.repeat_interval_s" for name in sorted({trade.strategy for trade in losers}))
    text = f"{len(again)} trades followed a loss in the same market within the hour and lost {dollars(loss)}"
    return Checked(
        len(again),
        (Finding("again_after_loss", "markets", text, len(again), loss, evidence_of(losers), paths),),
    )


def role_worse(day: TradingDay) -> Checked:
    """A role of the advisor whose forecasts are worse than the market's price."""
    scored = [role for role in day.roles.values() if role.markets >= ROLE_MARKETS_MIN]
    found = []
    for role in sorted(scored, key=lambda role: (role.name, role.family)):
        if role.brier <= role.brier_market:
            continue
        kind = role.name.partition(".")[0]
        text = (
            f"{role.name} is worse than the market in {role.family}: Brier {show(role.brier)} against "
            f"{show(role.brier_market)} over {role.markets} markets"
        )
        found.append(
            Finding("role_worse", role.name, text, role.markets, day.role_cost.get(kind, 0), (role.id,))
        )
    return Checked(sum(role.markets for role in day.roles.values()), tuple(found))


def slippage_above_edge(day: TradingDay) -> Checked:
    """Slippage of entries and exits that takes more than half of the expected edge."""
    found = []
    for strategy, trades in _by(day.trades, lambda trade: trade.strategy).items():
        expected, lost = sum(t.expected for t in trades), sum(t.slippage for t in trades)
        if len(trades) < CASES_MIN or expected <= 0 or lost * 2 <= expected:
            continue
        worst = sorted(trades, key=lambda trade: -trade.slippage)
        text = (
            f"{strategy} lost {dollars(lost)} between the prices it saw and those it got, {percent(lost, expected)} of "
            f"the edge it expected"
        )
        paths = ("exit.slippage_ticks", f"signal.{strategy}.slippage_ticks")
        found.append(
            Finding(
                "slippage_above_edge",
                strategy,
                text,
                len(trades),
                lost - expected // 2,
                evidence_of(worst),
                paths,
            )
        )
    return Checked(len(day.trades), tuple(found))


def paid_for_nothing(day: TradingDay) -> Checked:
    """Money spent on models while no entry of the day rests on a forecast."""
    cost = sum(day.role_cost.values())
    used = any(entry.strategy == "model_edge" for entry in day.entries)
    if day.forecasts < FORECASTS_UNUSED_MIN or used or cost < ONE // 100:
        return Checked(day.forecasts)
    text = f"{day.answers} answers of models cost {dollars(cost)}, and no entry of the day came of a forecast"
    return Checked(day.forecasts, (Finding("paid_for_nothing", "advisor", text, day.answers, cost, ()),))
