"""What the exit service wants: orders that shrink a position, and cancels of its own."""

from typing import ClassVar

from proto.feed import Side
from proto.message import Message, Name, Text, Word, token
from proto.risk import TimeInForce
from proto.units import Nanoseconds, Price, Quantity


class ExitReason(Word):
    """Why a position is being reduced."""

    TARGET = "target"
    STOP_LOSS = "stop_loss"
    TIME_DECAY = "time_decay"
    BEFORE_CLOSE = "before_close"
    DISPUTED = "disputed"
    TRAILING_STOP = "trailing_stop"
    PROFIT_BY_AGE = "profit_by_age"
    TIME_STOP = "time_stop"
    REVERSAL = "reversal"
    STALE_BOOK = "stale_book"
    DRAWDOWN = "drawdown"
    FLATTEN = "flatten"
    """The operator said so."""


class PositionStage(Word):
    """Stages of a position under exit management."""

    OPEN = "open"
    HALF_CLOSED = "half_closed"
    CLOSING = "closing"
    CLOSED = "closed"


HELD_TO_SETTLEMENT = "held to settlement"
"""The reason in the report of a position that no time makes leave: it ends with its market."""


class ExitProposal(Message):
    """Sell (or buy back) ``quantity`` of a held instrument; takes the risk hop, reduce-only."""

    kind: ClassVar[str] = "exit.proposal"

    strategy: Name
    market: Name
    instrument: Name
    side: Side
    price: Price
    quantity: Quantity
    time_in_force: TimeInForce
    reason: ExitReason
    expires_at: Nanoseconds

    def key(self) -> tuple[str, ...]:
        return (token(self.market),)


class ExitCancel(Message):
    """Withdraw a working exit order. Cancels never pass risk and nothing blocks them."""

    kind: ClassVar[str] = "exit.cancel"

    order: Name
    reason: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.order),)


class PositionUpdate(Message):
    """A position moved to another stage. ``plan``: what makes it leave, where more is set than ladder, stop and clock."""

    kind: ClassVar[str] = "exit.position"

    market: Name
    instrument: Name
    strategy: Name
    stage: PositionStage
    quantity: Quantity
    entry_price: Price
    reason: Text = ""
    plan: Text = ""

    def key(self) -> tuple[str, ...]:
        return (token(self.instrument),)
