"""Strategies that can be run, those that are, what came of each, and one of them in full."""

import inspect
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, NamedTuple

from libs.config.schema_words import keys_in_words
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
        row = found.setdefault(strategy.name, StrategyRow(strategy.name, _first_line(strategy.__doc__)))
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


class Parameter(NamedTuple):
    """A parameter in words, without the marks of Markdown."""

    key: str
    takes: str
    default: str
    about: str
    is_changeable: bool


class Description(NamedTuple):
    """A strategy in full: ``about`` in a line, ``text`` what its file says of it, ``source`` that file."""

    name: str
    about: str
    text: str
    source: str
    section: str
    parameters: tuple[Parameter, ...]

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return self._asdict() | {"parameters": [parameter._asdict() for parameter in self.parameters]}


def describe(spec: str) -> Description:
    """What a strategy is and takes.

    Raises:
        StrategyNotFound: there is none of that name, or it cannot be used.
    """
    strategy = load_strategies([spec])[0]
    params = strategy.params_type
    module = inspect.getmodule(strategy)
    parameters = (
        Parameter(
            words.key,
            words.takes.replace("`", ""),
            words.default.replace("`", ""),
            words.about.replace("`", ""),
            words.key in params.changeable,
        )
        for words in keys_in_words(params)
    )
    return Description(
        strategy.name,
        _first_line(inspect.getdoc(strategy)),
        inspect.getdoc(module) or "" if module is not None else "",
        _shown(Path(inspect.getfile(strategy))),
        f"signal.{strategy.name}, config/signal/{strategy.name}.yaml",
        tuple(parameters),
    )


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _shown(path: Path) -> str:
    """A file below this directory by its way from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
