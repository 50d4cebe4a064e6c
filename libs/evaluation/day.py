"""What happened in a day, as plain rows: what the rules look at.

Prices, quantities and money are millionths, moments nanoseconds. ``id`` of a row is what ``presage why`` accepts.
"""

from dataclasses import dataclass, field

from libs.evaluation.prices import Markout
from proto.units import ONE, SECOND, notional

DAY_NS = 86_400 * SECOND
HOUR_NS = 3_600 * SECOND
TARGET = "target"
"""Exits that rest at their price: what they get is what they asked for."""


def hour_of(at: int) -> int:
    """The hour of the day, UTC."""
    return at // HOUR_NS % 24


@dataclass(slots=True)
class Refused:
    """An entry that risk refused. Repeats of the same within five minutes are one row with a ``count``."""

    id: str
    at: int
    strategy: str
    market: str
    instrument: str
    family: str
    venue: str
    price: int
    checks: tuple[str, ...]
    after: Markout
    count: int = 1


@dataclass(slots=True)
class Entry:
    """An order that opens or enlarges a position, from its approval to its end.

    ``edge``: what the strategy expected of a contract. ``after``: prices at the proposal and behind it; its ask is the
    signal's price. ``status``: the last that execution said.
    """

    id: str
    at: int
    strategy: str
    market: str
    instrument: str
    family: str
    price: int
    quantity: int
    edge: int
    ends_at: int
    after: Markout
    status: str = "approved"
    reason: str = ""
    filled: int = 0
    value: int = 0
    fees: int = 0

    @property
    def slippage(self) -> int:
        """Money paid beyond the ask that the strategy saw; 0 where it saw none."""
        if self.after.ask is None or not self.filled:
            return 0
        return self.value - notional(self.after.ask, self.filled)


@dataclass(slots=True)
class Exit:
    """An order that reduces a position; ``after``: prices when exit proposed it."""

    id: str
    at: int
    instrument: str
    reason: str
    after: Markout
    filled: int = 0
    value: int = 0
    fees: int = 0

    @property
    def slippage(self) -> int:
        """Money received less than the bid that exit saw."""
        if self.after.bid is None or not self.filled:
            return 0
        return notional(self.after.bid, self.filled) - self.value


@dataclass(slots=True)
class ClosedTrade:
    """From nothing held to nothing held in one instrument. ``profit`` is after fees, the captured edge.

    ``opens_at`` and ``ends_at``: of the market, 0 where unknown. ``expected`` is the sum of what the entries' strategies expected. ``ended``: the reason of the last exit, or
    ``settled``. ``left``: what came of each exit, in order.
    """

    id: str
    strategy: str
    market: str
    instrument: str
    family: str
    opened_at: int
    closed_at: int
    opens_at: int
    ends_at: int
    quantity: int
    entry_value: int
    exit_value: int
    fees: int
    profit: int
    expected: int
    ended: str
    left: tuple[Exit, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def entry_price(self) -> int:
        """The mean, rounded down."""
        return self.entry_value * ONE // self.quantity if self.quantity else 0

    @property
    def slippage(self) -> int:
        """Of its entries and its exits at the market."""
        ways_out = sum(row.slippage for row in self.left if row.reason != TARGET)
        return sum(entry.slippage for entry in self.entries) + ways_out


@dataclass(slots=True)
class SignalCount:
    """Proposals of a strategy in a family within an hour of the day."""

    proposals: int = 0
    approved: int = 0
    rejected: int = 0
    edge: int = 0
    """Sum of the edges per contract."""


@dataclass(slots=True)
class RoleRecord:
    """A role's score in a family after its newest outcome, and what it cost in the day. Brier in millionths."""

    name: str
    family: str
    id: str
    markets: int = 0
    brier: int = 0
    brier_market: int = 0


@dataclass
class TradingDay:
    """One day of a tape, or as much of it as there is: from ``began_at`` up to ``ended_at``."""

    began_at: int = 0
    ended_at: int = 0
    messages: int = 0
    trades: list[ClosedTrade] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    exits: list[Exit] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    signals: dict[tuple[str, str, int], SignalCount] = field(default_factory=dict)
    """(strategy, family, hour)."""
    roles: dict[tuple[str, str], RoleRecord] = field(default_factory=dict)
    """(role with prompt and model, family)."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """Market with a forecast → gain of the forecast over the price in log loss, millionths of a nat."""
    role_cost: dict[str, int] = field(default_factory=dict)
    """Role → money spent on its answers."""
    answers: int = 0
    forecasts: int = 0
    left_out: int = 0
    """Rows beyond what a day may have."""

    @property
    def profit(self) -> int:
        """Of the closed trades, after fees."""
        return sum(trade.profit for trade in self.trades)

    @property
    def fees(self) -> int:
        """Of the closed trades."""
        return sum(trade.fees for trade in self.trades)

    def ended_by(self) -> dict[str, int]:
        """How many trades ended by which reason."""
        found: dict[str, int] = {}
        for trade in self.trades:
            found[trade.ended] = found.get(trade.ended, 0) + 1
        return found

    def orders_by(self) -> dict[str, int]:
        """How many entries came to which end."""
        found: dict[str, int] = {}
        for entry in self.entries:
            found[entry.status] = found.get(entry.status, 0) + 1
        return found

    def rejections_by(self) -> dict[str, int]:
        """Refused entries by each check that failed; repeats count as one."""
        found: dict[str, int] = {}
        for row in self.refused:
            for check in row.checks:
                found[check] = found.get(check, 0) + 1
        return found
