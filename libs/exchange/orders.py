"""Orders as the matching core keeps them, and what it reports about them.

The core knows neither the bus nor a venue's wire format: the paper venue and the venue simulators
translate these reports into their own messages.
"""

from enum import StrEnum

from msgspec import Struct, field

from libs.exchange.fees import FeeAccumulator
from proto.risk import TimeInForce
from proto.units import ONE

NEVER = 2**62
"""A moment that does not come: later than any nanosecond of this century."""
UNSEEN = -1
"""Queue position of an order whose price level has not been visible yet."""


class ExchangeOrder(Struct, frozen=True, gc=False):
    """An order on its way to the exchange, price in the space of its own outcome.

    ``expires_at`` bounds when it may arrive, and for a GTD order how long it rests.
    """

    order: str
    market: str
    instrument: str
    buy: bool
    price: int
    quantity: int
    time_in_force: TimeInForce
    expires_at: int
    post_only: bool = False


class Working(Struct):
    """An order at the exchange, from the moment it was sent until it ends.

    ``leg``, ``leg_buy`` and ``leg_price`` are the order on the market's first outcome: buying NO at
    0.44 is selling YES at 0.56, and both outcomes share one book. ``ahead`` is the displayed quantity
    queued before it (``UNSEEN``: not known yet). ``credit`` is how much of the queue vanished from the
    book without a trade seen yet, until ``credit_until``. ``is_held``: it arrived, and the market holds back what
    trades at once, until ``active_at``.
    """

    new: ExchangeOrder
    arrival: int
    remaining: int
    active_at: int
    leg: str = ""
    leg_buy: bool = True
    leg_price: int = 0
    ends_at: int = NEVER
    cancel_at: int = NEVER
    cancel_reason: str = ""
    active: bool = False
    ahead: int = UNSEEN
    credit: int = 0
    credit_until: int = 0
    fills: int = 0
    fees: FeeAccumulator = field(default_factory=FeeAccumulator)
    is_held: bool = False

    @property
    def next_at(self) -> int:
        """When something is due for it that no market event brings."""
        return min(self.cancel_at, self.ends_at) if self.active else self.active_at

    @property
    def is_taken(self) -> bool:
        """Whether the exchange took it, and has it still."""
        return self.active or self.is_held

    @property
    def filled(self) -> int:
        return self.new.quantity - self.remaining

    def reaches(self, leg_price: int) -> bool:
        """Whether its limit allows trading at ``leg_price``."""
        return self.leg_price >= leg_price if self.leg_buy else self.leg_price <= leg_price

    def own_price(self, leg_price: int) -> int:
        """A price of the leg in the space of the order's own outcome."""
        return leg_price if self.leg == self.new.instrument else ONE - leg_price


class EndReason(StrEnum):
    """How an order left the exchange."""

    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Accepted(Struct, frozen=True, gc=False):
    """The order reached the exchange and was taken."""

    order: str
    quantity: int


class Executed(Struct, frozen=True, gc=False):
    """A part of the order traded, at ``price`` in the space of its own outcome.

    ``number`` counts the order's fills from 1; ``fee`` is this fill's.
    """

    order: str
    number: int
    price: int
    quantity: int
    fee: int
    maker: bool


class Ended(Struct, frozen=True, gc=False):
    """The order is gone; ``remaining`` was not filled. ``detail`` says why in one word."""

    order: str
    reason: EndReason
    filled: int
    remaining: int
    detail: str = ""


Report = Accepted | Executed | Ended
