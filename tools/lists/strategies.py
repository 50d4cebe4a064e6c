"""Strategies that can be run, those that are, and what came of each."""

from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from libs.lists.books import KINDS as BOOK_KINDS
from libs.lists.books import Books
from libs.lists.reading import Entry
from proto.message import Message
from proto.risk import Approval, Pending, Rejection
from proto.signal import Proposal
from services.signal.discovery import BUILT_IN, ENTRY_POINT_GROUP, StrategyNotFound, load_strategies

KINDS: tuple[type[Message], ...] = (Proposal, Approval, Pending, Rejection, *BOOK_KINDS)
_COUNTED: dict[type[Message], str] = {
    Proposal: "proposals",
    Approval: "approvals",
    Pending: "pending",
    Rejection: "rejections",
}


@dataclass
class StrategyRow:
    """A strategy by the name it calls itself; ``profit`` of its closed trades, after fees, in millionths."""

    name: str
    about: str = ""
    runs: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    profit: int = 0

    def document(self) -> dict[str, Any]:
        """As plain data."""
        names = (*_COUNTED.values(), "fills", "trades")
        counted = {name: self.counts[name] for name in names}
        return {"name": self.name, "about": self.about, "runs": self.runs, **counted, "profit": self.profit}


def known_strategies(specs: list[str]) -> dict[str, StrategyRow]:
    """Built-in and installed strategies, and those in ``specs``, which run."""
    found: dict[str, StrategyRow] = {}
    installed = [point.name for point in entry_points(group=ENTRY_POINT_GROUP)]
    for spec in dict.fromkeys([*BUILT_IN, *installed, *specs]):
        try:
            strategy = load_strategies([spec])[0]
        except StrategyNotFound as e:
            found[spec] = StrategyRow(spec, about=str(e), runs=spec in specs)
            continue
        about = (strategy.__doc__ or "").strip().partition("\n")[0]
        row = found.setdefault(strategy.name, StrategyRow(strategy.name, about))
        row.runs = row.runs or spec in specs
    return found


def count(rows: dict[str, StrategyRow], entries: list[Entry]) -> None:
    """Add what the tape tells of each strategy; one that is not known any more is listed too."""
    for _, message in entries:
        name = _COUNTED.get(type(message))
        if name is not None:
            rows.setdefault(message.strategy, StrategyRow(message.strategy)).counts[name] += 1
    books = Books().add(entries)
    for fill in books.fills.values():
        rows.setdefault(fill.fill.strategy, StrategyRow(fill.fill.strategy)).counts["fills"] += 1
    for trade in books.trades():
        row = rows.setdefault(trade.strategy, StrategyRow(trade.strategy))
        row.counts["trades"] += 1
        row.profit += trade.profit
