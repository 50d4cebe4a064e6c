"""What strategies propose."""

from typing import ClassVar, NamedTuple

from proto.feed import Side
from proto.message import Integer, Message, Name, Rows, Text, token
from proto.units import Money, Nanoseconds, Price


class Evidence(NamedTuple):
    """A named number a decision rests on, in millionths (a ratio of 2.5 is 2_500_000)."""

    name: Name
    value: Integer


class Proposal(Message):
    """A strategy wants to open a position; risk decides whether and how large.

    ``fair_value`` is the strategy's probability of the outcome, ``price`` the worst price it would pay,
    ``edge`` = fair value - price - fee per contract; all in the instrument's own price space.
    ``strength`` is 0..1 in millionths.
    """

    kind: ClassVar[str] = "signal.proposal"

    strategy: Name
    market: Name
    instrument: Name
    side: Side
    price: Price
    fair_value: Price
    edge: Money
    strength: Price
    expires_at: Nanoseconds
    reason: Text = ""
    evidence: Rows[Evidence] = ()

    def key(self) -> tuple[str, ...]:
        return (token(self.strategy), token(self.market))
