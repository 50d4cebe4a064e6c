"""What came of a run: one fold over everything on the tape, for ``up``, ``backtest`` and replay alike."""

from typing import Any

from libs.machine.outputs_hash import OutputsHash
from libs.portfolio.portfolio import Portfolio
from libs.view.tally import Tally
from proto.execution import TERMINAL, OrderStatus, OrderUpdate
from proto.feed import Played
from proto.message import Message
from proto.units import ONE


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
        self.tally = Tally()
        self.outputs = OutputsHash()
        self.latencies_ms: list[float] = []
        self.divergences = 0
        self.equity_curve: list[tuple[int, int]] = []
        self._orders: dict[str, OrderStatus] = {}

    def add(self, seq: int, message: Message) -> None:
        """Take one message of the tape."""
        self.events += 1
        self.last_seq = max(self.last_seq, seq)
        made = self.tally.add(message)
        if made is not None:
            self.equity_curve.append((getattr(message, "at", 0), self.equity))
        elif isinstance(message, OrderUpdate):
            self._orders[message.order] = message.status
            if message.status in TERMINAL:
                del self._orders[message.order]
        elif isinstance(message, Played):
            self.frames += message.frames

    @property
    def portfolio(self) -> Portfolio:
        """Cash and positions."""
        return self.tally.portfolio

    @property
    def equity(self) -> int:
        """Equity at the last prices, in millionths of a dollar."""
        return self.tally.equity

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
        counts = self.tally.counts
        counted = ("proposals", "approvals")
        later = ("orders", "fills", "exits", "settlements")
        return {
            "frames": self.frames,
            "events": self.events,
            **{name: counts[name] for name in counted},
            "rejections": dict(sorted(self.tally.reasons.items())),
            "rejected": counts["rejections"],
            **{name: counts[name] for name in later},
            "open_positions": sum(1 for _ in self.portfolio.open_positions()),
            "unknown_orders": self.unknown_orders,
            "cash": self.portfolio.cash / ONE,
            "equity": self.equity / ONE,
            "profit": self.tally.profit / ONE,
            "realised_profit": self.portfolio.realised_profit / ONE,
            "unrealised_profit": self.tally.unrealised_profit / ONE,
            "fees": self.portfolio.fees / ONE,
            "latency_ms": latency,
            "tape_last_seq": self.last_seq,
            "divergences": self.divergences,
            "outputs_hash": self.outputs.hexdigest(),
        }
