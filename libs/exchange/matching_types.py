"""What goes into a limit order book of a two-outcome market and what comes out of it: plain data.

Every price here is in the space of its own outcome, in millionths; the book alone knows the leg.
"""

from enum import StrEnum

from msgspec import Struct

from proto.feed import Side
from proto.risk import TimeInForce


class MatchKind(StrEnum):
    """What a match does with contracts: hand them over, make a pair of them, or dissolve a pair."""

    COMPLEMENTARY = "complementary"
    MINT = "mint"
    MERGE = "merge"


class SelfTrade(StrEnum):
    """What happens when an order would meet another one of its owner."""

    ALLOW = "allow"
    CANCEL_TAKER = "cancel_taker"
    CANCEL_MAKER = "cancel_maker"


class OrderState(StrEnum):
    """Where an order ended up. ``REJECTED``: it never stood, ``reason`` says why."""

    RESTING = "resting"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Reason:
    """Why an order was rejected or cancelled; venues put it into their own words."""

    CROSSES = "post_only_crosses"
    FOK_UNFILLED = "fok_unfilled"
    IOC_UNFILLED = "ioc_unfilled"
    SELF_TRADE = "self_trade"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    REQUESTED = "requested"


class LimitOrder(Struct, kw_only=True):
    """An order of one owner for one outcome. ``filled`` grows; ``expires_at`` (ns) is for GTD only."""

    order_id: str
    owner: str
    outcome: int
    side: Side
    price: int
    quantity: int
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    expires_at: int = 0
    filled: int = 0

    @property
    def remaining(self) -> int:
        """What is still to be filled."""
        return self.quantity - self.filled


class Execution(Struct, frozen=True, kw_only=True):
    """One side of a match: ``price`` in its own outcome's space, ``remaining`` of its order after it."""

    order_id: str
    owner: str
    outcome: int
    side: Side
    price: int
    quantity: int
    remaining: int
    maker: bool


class Match(Struct, frozen=True, kw_only=True):
    """Two orders met at the maker's price. ``number`` counts a book's matches from 1."""

    number: int
    kind: MatchKind
    quantity: int
    taker: Execution
    maker: Execution


class LevelChange(Struct, frozen=True):
    """A level of the first outcome's leg has a new total; 0 removes it."""

    side: Side
    price: int
    quantity: int


class Placement(Struct, frozen=True, kw_only=True):
    """What became of a new order.

    ``completed`` are the makers it filled whole, ``removed`` those of the same owner that gave way to it.
    """

    order: LimitOrder
    state: OrderState
    reason: str = ""
    matches: tuple[Match, ...] = ()
    completed: tuple[LimitOrder, ...] = ()
    removed: tuple[LimitOrder, ...] = ()
    changes: tuple[LevelChange, ...] = ()


class Removal(Struct, frozen=True, kw_only=True):
    """Orders left the book without a match, or shrank."""

    orders: tuple[LimitOrder, ...] = ()
    changes: tuple[LevelChange, ...] = ()
