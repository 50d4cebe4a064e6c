"""What closed trades made, in all and by strategy, venue, hour and how they ended. Money in millionths, after fees."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from libs.lists.books import TradeRow
from libs.view.history import EquityPoint
from proto.units import SECOND, show

HOUR = 3_600 * SECOND


@dataclass
class Group:
    """Closed trades that have something in common."""

    name: str
    trades: int = 0
    wins: int = 0
    profit: int = 0
    fees: int = 0
    gained: int = 0
    lost: int = 0
    held_ns: int = 0

    def add(self, trade: TradeRow) -> None:
        """Count one."""
        self.trades += 1
        self.wins += trade.profit > 0
        self.profit += trade.profit
        self.fees += trade.fees
        self.gained += max(trade.profit, 0)
        self.lost -= min(trade.profit, 0)
        self.held_ns += max(trade.closed_at - trade.opened_at, 0)

    def document(self) -> dict[str, Any]:
        """As plain data: amounts as decimals, shares as fractions with four decimals."""
        return {
            "name": self.name,
            "trades": self.trades,
            "wins": self.wins,
            "win_rate": f"{self.wins / self.trades:.4f}" if self.trades else None,
            "profit": show(self.profit),
            "mean_profit": show(self.profit // self.trades) if self.trades else None,
            "fees": show(self.fees),
            "profit_factor": f"{self.gained / self.lost:.4f}" if self.lost else None,
            "mean_held_s": self.held_ns // self.trades // SECOND if self.trades else None,
        }


def _venue(trade: TradeRow) -> str:
    return trade.market.partition(":")[0]


def _hour(trade: TradeRow) -> str:
    """The hour it was closed in, as ``presage performance`` has it."""
    return f"{trade.closed_at // HOUR % 24:02d}:00 UTC"


BY: dict[str, Callable[[TradeRow], str]] = {
    "strategy": lambda trade: trade.strategy,
    "venue": _venue,
    "hour": _hour,
    "end": lambda trade: trade.ended,
}
"""Cut → the name of a trade's group."""


def groups(trades: Iterable[TradeRow], name_of: Callable[[TradeRow], str]) -> list[Group]:
    """The groups, the one that made most first."""
    found: dict[str, Group] = {}
    for trade in trades:
        name = name_of(trade)
        found.setdefault(name, Group(name)).add(trade)
    return sorted(found.values(), key=lambda group: (-group.profit, group.name))


def drawdown(points: Sequence[EquityPoint]) -> int:
    """The deepest fall of equity from its highest so far, in money."""
    highest, deepest = 0, 0
    for index, point in enumerate(points):
        highest = point.equity if not index else max(highest, point.equity)
        deepest = max(deepest, highest - point.equity)
    return deepest


def document(trades: Sequence[TradeRow], points: Sequence[EquityPoint]) -> dict[str, Any]:
    """Everything of the page, as plain data."""
    whole = groups(trades, lambda _: "all")
    return {
        "all": whole[0].document() if whole else Group("all").document(),
        "drawdown": show(drawdown(points)),
        "by": {cut: [group.document() for group in groups(trades, name_of)] for cut, name_of in BY.items()},
    }
