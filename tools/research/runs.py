"""One run of many over input that was decoded once: what a sweep keeps of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from libs.config.errors import ConfigError
from libs.performance.fold import PerformanceFold
from proto.feed import Book, Quote
from proto.message import Message
from proto.risk import PortfolioReport
from proto.units import SECOND
from proto.venue import Account
from tools.offline.backtest import Backtest, DecodedSession
from tools.system.composition import sections


class Shared(NamedTuple):
    """What every run of a sweep has in common. ``base``: settings that all have."""

    sessions: Sequence[DecodedSession]
    strategies: Sequence[str]
    config: Path
    base: Mapping[str, str]
    period_s: int


NO_PERIODS: Final[Mapping[int, int]] = {}
"""A plain one: outcomes go from one process to another."""


class Outcome(NamedTuple):
    """What came of a run. Money in millionths; ``drawdown`` a share; ``periods``: moment (seconds) → profit in it.

    ``longest_s``: the longest time a trade was open. ``error``: why there was no run.
    """

    sets: dict[str, str]
    profit: int = 0
    fees: int = 0
    trades: int = 0
    drawdown: float = 0.0
    longest_s: int = 0
    periods: Mapping[int, int] = NO_PERIODS
    outputs_hash: str = ""
    error: str = ""

    def document(self) -> dict[str, Any]:
        """As plain data, a list for each period so that the order is kept."""
        return self._asdict() | {"periods": [list(row) for row in self.periods.items()]}


def outcome_of(document: Mapping[str, Any]) -> Outcome:
    """An outcome from its document."""
    return Outcome(**{**document, "periods": dict(document["periods"])})


class _Kept:
    """Observes a run without its prices: they are nearly all of it, and nothing here needs them."""

    def __init__(self, period_s: int) -> None:
        self.fold = PerformanceFold()
        self._period_s = period_s
        self._deposits = 0
        self._made: dict[int, int] = {}

    def observe(self, seq: int, _: str, message_id: str, message: Message) -> None:
        kind = type(message)
        if kind is Quote or kind is Book:
            return
        self.fold.add(message, seq, 0, message_id)
        if isinstance(message, Account):
            self._deposits += message.deposit
        elif isinstance(message, PortfolioReport):
            self._made[message.at // SECOND // self._period_s] = message.equity - self._deposits

    def periods(self, made: int) -> dict[int, int]:
        """Profit of each period that has a report; the last one ends with the run."""
        found: dict[int, int] = {}
        before = 0
        places = list(self._made)
        for place in places:
            end = made if place == places[-1] else self._made[place]
            found[place * self._period_s] = end - before
            before = end
        return found


def run_point(shared: Shared, sets: dict[str, str]) -> Outcome:
    """Run the machines with these settings over the shared input."""
    try:
        configured = sections(shared.config, {**shared.base, **sets}, shared.strategies)
    except ConfigError as e:
        return Outcome(sets, error=str(e))
    test = Backtest(configured, shared.strategies)
    kept = _Kept(shared.period_s)
    test.observe(kept.observe)
    test.run_decoded(shared.sessions)
    found = kept.fold.finish()
    profit = test.summary.tally.profit
    return Outcome(
        sets,
        profit=profit,
        fees=test.summary.portfolio.fees,
        trades=len(found.trades),
        drawdown=round(found.drawdown.depth, 9),
        longest_s=max(((trade.closed_at - trade.opened_at) // SECOND for trade in found.trades), default=0),
        periods=kept.periods(profit),
        outputs_hash=test.summary.outputs.hexdigest(),
    )
