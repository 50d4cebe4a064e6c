"""How much there was of what, and what it made: the one fold behind the view, the summary and the lists."""

from collections import Counter
from dataclasses import dataclass, field

from libs.portfolio.portfolio import Portfolio
from proto.execution import Claim
from proto.exit import ExitProposal
from proto.feed import Book, FeedClock, Market, Quote, Trade
from proto.message import Message
from proto.monitor import Clock
from proto.risk import Approval, Pending, Rejection
from proto.signal import Proposal
from proto.venue import Account, Correction, Fill, Settlement

MARKS_MAX = 10_000
"""Instruments with a price; then those that are not held are forgotten, and known again by their next price."""
REASONS_MAX = 64
"""Different reasons counted; risk has some thirty checks."""

_PRICES = (Quote, Book)
_UNCOUNTED = frozenset((Trade, FeedClock, Market, Clock))
"""Inputs that say nothing about what came of a run: nearly all of a tape."""
_NAMES: dict[type[Message], str] = {
    Proposal: "proposals",
    ExitProposal: "exits",
    Approval: "approvals",
    Rejection: "rejections",
    Pending: "pending",
    Claim: "orders",
}


@dataclass
class Tally:
    """Feed it every message. ``counts``: proposals are those for entries, exits those of the exit service."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    portfolio: Portfolio = field(default_factory=Portfolio)
    bids: dict[str, int] = field(default_factory=dict)
    """The last bid there was of each instrument: it values a position also while that side is empty."""
    asks: dict[str, int] = field(default_factory=dict)

    def add(self, message: Message) -> int | None:
        """Take one message; the profit it realised, ``None`` for one that is no news of money."""
        kind = type(message)
        if kind in _PRICES:
            self._price(message)
        elif isinstance(message, Fill | Settlement | Correction | Account):
            return self._apply(message)
        elif kind not in _UNCOUNTED and (name := _NAMES.get(kind)) is not None:
            self.counts[name] += 1
            if isinstance(message, Rejection):
                self._count_reasons(message)
        return None

    def _count_reasons(self, rejection: Rejection) -> None:
        for check in rejection.failed:
            if check.name in self.reasons or len(self.reasons) < REASONS_MAX:
                self.reasons[check.name] += 1

    @property
    def equity(self) -> int:
        """Cash and positions: a long one at the last bid, a short one at the last ask, at cost without one."""
        return self.portfolio.equity(self.marks())

    @property
    def profit(self) -> int:
        """Everything made or lost so far, after fees, open positions included."""
        return self.equity - self.portfolio.deposits

    @property
    def unrealised_profit(self) -> int:
        """What open positions would make at their marks, before fees."""
        return self.profit - self.portfolio.realised_profit + self.portfolio.fees

    def marks(self) -> dict[str, int]:
        """Instrument held → its mark, where there is one."""
        found: dict[str, int] = {}
        for _, instrument, position in self.portfolio.open_positions():
            mark = (self.bids if position.quantity > 0 else self.asks).get(instrument)
            if mark is not None:
                found[instrument] = mark
        return found

    def _price(self, message: Message) -> None:
        if isinstance(message, Quote):
            bid, ask = message.bid, message.ask
        else:
            assert isinstance(message, Book)
            bid = message.bids[0].price if message.bids else None
            ask = message.asks[0].price if message.asks else None
        if bid is not None:
            self.bids[message.instrument] = bid
        if ask is not None:
            self.asks[message.instrument] = ask
        if len(self.bids) > MARKS_MAX or len(self.asks) > MARKS_MAX:
            held = self.portfolio.open
            self.bids = {name: price for name, price in self.bids.items() if name in held}
            self.asks = {name: price for name, price in self.asks.items() if name in held}

    def _apply(self, message: Fill | Settlement | Correction | Account) -> int | None:
        before = self.portfolio.realised_profit
        if not self.portfolio.apply(message):
            return None
        if isinstance(message, Fill):
            self.counts["fills"] += 1
        elif isinstance(message, Settlement):
            self.counts["settlements"] += 1
        return self.portfolio.realised_profit - before
