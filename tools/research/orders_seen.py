"""The orders of a run and what became of them, from its messages, whether they come from a tape or from a backtest."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from libs.machine.timeline import Timeline
from proto.execution import OrderUpdate
from proto.feed import Book, FeedClock, Gap, Quote, Side
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Command, Config, Session
from proto.risk import Approval
from proto.units import ONE, notional
from proto.venue import Fill, Settlement

KINDS: tuple[type[Message], ...] = (
    Session,
    Config,
    Command,
    FeedClock,
    Clock,
    Gap,
    Approval,
    OrderUpdate,
    Fill,
    Settlement,
)
"""Kinds of a tape that are read: no prices."""


@dataclass
class SeenOrder:
    """An approved order. Money, prices and quantities in millionths; ``at`` in nanoseconds of session time."""

    order: str
    strategy: str
    instrument: str
    side: Side
    reduce_only: bool
    at: int
    price: int
    quantity: int
    filled: int = 0
    value: int = 0
    fees: int = 0
    status: str = "approved"

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What an order of the other run has to have too."""
        return self.strategy, self.instrument, self.side.value, self.reduce_only

    def made(self, worth: int) -> int:
        """What its fills came to before fees, a contract being worth so much in the end."""
        gain = notional(worth, self.filled) - self.value
        return gain if self.side is Side.BUY else -gain

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return {**vars(self), "side": self.side.value}


@dataclass
class RunSeen:
    """Feed it messages in order."""

    orders: dict[str, SeenOrder] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    gaps: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The first configuration of each section."""
    sessions: int = 0
    changed: int = 0
    """Sections that came again with other values."""
    _fills: set[str] = field(default_factory=set)
    _timeline: Timeline = field(default_factory=Timeline)

    def add(self, message: Message, stored_at: int) -> None:
        """Take one message; ``stored_at``: when the broker stored it, 0 where there is no broker."""
        now = self._timeline.observe(message, stored_at)
        if isinstance(message, Quote | Book):
            self._on_price(message)
        elif isinstance(message, Approval):
            self._on_approval(message, now)
        elif isinstance(message, Fill):
            self._on_fill(message)
        elif isinstance(message, OrderUpdate):
            if message.order in self.orders:
                self.orders[message.order].status = message.status.value
        elif isinstance(message, Settlement):
            self.paid[message.instrument] = message.price
        else:
            self._on_frame(message)

    def _on_frame(self, message: Message) -> None:
        """What the run was: its sessions, settings, commands and gaps."""
        if isinstance(message, Config):
            document = dict(message.document)
            known = self.sections.setdefault(message.section, document)
            self.changed += known != document
        elif isinstance(message, Session):
            self.sessions += 1
        elif isinstance(message, Gap):
            self.gaps[message.venue] += 1
        elif isinstance(message, Command):
            self.commands[message.verb.value] += 1

    def _on_price(self, message: Quote | Book) -> None:
        if isinstance(message, Book):
            bid = message.bids[0].price if message.bids else None
            ask = message.asks[0].price if message.asks else None
        else:
            bid, ask = message.bid, message.ask
        if bid is not None and ask is not None:
            self.marks[message.instrument] = (bid + ask) // 2

    def _on_approval(self, approval: Approval, now: int) -> None:
        self.orders[approval.order] = SeenOrder(
            approval.order,
            approval.strategy,
            approval.instrument,
            approval.side,
            approval.reduce_only,
            now,
            approval.price,
            approval.quantity,
        )

    def _on_fill(self, fill: Fill) -> None:
        if fill.fill_id in self._fills or fill.order not in self.orders:
            return
        self._fills.add(fill.fill_id)
        order = self.orders[fill.order]
        order.filled += fill.quantity
        order.value += notional(fill.price, fill.quantity)
        order.fees += fill.fee

    def worth(self, instrument: str) -> int | None:
        """What a contract paid in the end, or its last mark; ``None`` where neither is known."""
        paid = self.paid.get(instrument)
        return self.marks.get(instrument) if paid is None else paid

    def average(self, instrument: str) -> int:
        """The mean price of our own fills in an instrument: the last resort for what it is worth."""
        orders = [order for order in self.orders.values() if order.instrument == instrument]
        filled = sum(order.filled for order in orders)
        return sum(order.value for order in orders) * ONE // filled if filled else 0
