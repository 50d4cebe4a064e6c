"""What came of a run: one fold over everything on the tape, for ``up``, ``backtest`` and replay alike."""

from collections import Counter
from typing import Any

from libs.machine.outputs_hash import OutputsHash
from libs.portfolio.portfolio import Portfolio
from proto.execution import TERMINAL, Claim, OrderStatus, OrderUpdate
from proto.exit import ExitProposal
from proto.feed import Book, FeedClock, Market, Played, Quote, Trade
from proto.message import Message
from proto.risk import Approval, Rejection
from proto.signal import Proposal
from proto.units import ONE
from proto.venue import Account, Correction, Fill, Settlement

# Inputs that say nothing about what came of a run: nearly all of a tape.
_UNCOUNTED = frozenset((Book, Trade, FeedClock, Market))


def percentile(values: list[float], fraction: float) -> float | None:
    """The value below which ``fraction`` of the values lie (nearest rank); ``None`` without values."""
    if not values:
        return None
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(fraction * len(ranked)))]


class Summary:
    """Counts messages and folds the portfolio; ``document`` is the JSON summary.

    Money is in dollars there, latencies in milliseconds: from the first cause's arrival on the tape to
    the claim of the order it led to.
    """

    def __init__(self) -> None:
        self.events = 0
        self.last_seq = 0
        self.frames = 0
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.portfolio = Portfolio()
        self.outputs = OutputsHash()
        self.latencies_ms: list[float] = []
        self.divergences = 0
        self.equity_curve: list[tuple[int, int]] = []
        self.fills: list[Fill] = []
        self._marks: dict[str, int] = {}
        self._orders: dict[str, OrderStatus] = {}

    def add(self, seq: int, message: Message) -> None:
        """Take one message of the tape."""
        self.events += 1
        self.last_seq = max(self.last_seq, seq)
        kind = type(message)
        if kind is Quote:
            if message.bid is not None:  # type: ignore[attr-defined]
                self._marks[message.instrument] = message.bid  # type: ignore[attr-defined]
        elif kind not in _UNCOUNTED:
            self._add_rare(message)

    def _add_rare(self, message: Message) -> None:
        kind = type(message)
        if kind is Proposal:
            self.counts["proposals"] += 1
        elif kind is ExitProposal:
            self.counts["exits"] += 1
        elif kind is Approval:
            self.counts["approvals"] += 1
        elif isinstance(message, Rejection):
            self.counts["rejections"] += 1
            self.reasons.update(check.name for check in message.failed)
        elif kind is Claim:
            self.counts["orders"] += 1
        elif isinstance(message, OrderUpdate):
            self._orders[message.order] = message.status
            if message.status in TERMINAL:
                del self._orders[message.order]
        elif isinstance(message, Played):
            self.frames += message.frames
        elif isinstance(message, Fill | Settlement | Correction | Account):
            self._add_venue(message)

    def _add_venue(self, message: Fill | Settlement | Correction | Account) -> None:
        if not self.portfolio.apply(message):
            return
        if isinstance(message, Fill):
            self.counts["fills"] += 1
            self.fills.append(message)
        elif isinstance(message, Settlement):
            self.counts["settlements"] += 1
        self.equity_curve.append((message.at if not isinstance(message, Correction) else 0, self.equity))

    @property
    def equity(self) -> int:
        """Equity at bids, in millionths of a dollar."""
        marks = {i: self._marks.get(i, 0) for _, i, _ in self.portfolio.open_positions()}
        return self.portfolio.equity(marks)

    @property
    def unknown_orders(self) -> int:
        """Orders whose outcome is unknown now."""
        return sum(status is OrderStatus.UNKNOWN for status in self._orders.values())

    def document(self) -> dict[str, Any]:
        """The summary as plain data, keys as documented in docs/reference/commands.md."""
        latency = {
            name: None if (value := percentile(self.latencies_ms, fraction)) is None else round(value, 3)
            for name, fraction in (("p50", 0.5), ("p99", 0.99))
        }
        counted = ("proposals", "approvals")
        later = ("orders", "fills", "exits", "settlements")
        return {
            "frames": self.frames,
            "events": self.events,
            **{name: self.counts[name] for name in counted},
            "rejections": dict(sorted(self.reasons.items())),
            "rejected": self.counts["rejections"],
            **{name: self.counts[name] for name in later},
            "open_positions": sum(1 for _ in self.portfolio.open_positions()),
            "unknown_orders": self.unknown_orders,
            "cash": self.portfolio.cash / ONE,
            "equity": self.equity / ONE,
            "realised_profit": self.portfolio.realised_profit / ONE,
            "fees": self.portfolio.fees / ONE,
            "latency_ms": latency,
            "tape_last_seq": self.last_seq,
            "divergences": self.divergences,
            "outputs_hash": self.outputs.hexdigest(),
        }
