"""The events of the world, which its subscribers get in order."""

from dataclasses import dataclass
from enum import StrEnum

from libs.exchange.matching_types import Execution, LevelChange, LimitOrder, Match
from proto.feed import MarketStatus, Side
from sandbox.world.markets import SandboxMarket
from sandbox.world.venue_prices import PriceSource


class OrderChange(StrEnum):
    """What happened to an order of a client."""

    PLACED = "placed"
    MATCHED = "matched"
    REDUCED = "reduced"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class BookChanged:
    """Levels of the first outcome's leg have new totals; the second outcome's book is the mirror."""

    market: SandboxMarket
    at: int
    changes: tuple[LevelChange, ...]


@dataclass(frozen=True, slots=True)
class Traded:
    """A match, as the public sees it. Prices of both sides are in ``match``, each in its own space."""

    market: SandboxMarket
    at: int
    match: Match


@dataclass(frozen=True, slots=True)
class MarketMoved:
    """A market was listed (``previous`` is then ``None``) or its status changed."""

    market: SandboxMarket
    at: int
    previous: MarketStatus | None


@dataclass(frozen=True, slots=True)
class TickChanged:
    """The price grid of a market became another one. Steps in millionths."""

    market: SandboxMarket
    at: int
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class PriceMoved:
    """The Bitcoin price went a step further; ask ``world.price`` for what each source sees."""

    at: int


@dataclass(frozen=True, slots=True)
class SpotTraded:
    """A Bitcoin trade at an exchange. Price in millionths of a dollar, quantity of a coin; ``side`` took."""

    source: PriceSource
    at: int
    trade_id: int
    price: int
    quantity: int
    side: Side


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something happened to a client's order; ``order`` is a copy as it stood then."""

    market: SandboxMarket
    at: int
    owner: str
    order: LimitOrder
    change: OrderChange
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FillEvent:
    """A client's order was filled. ``fee`` in money; with ``match.number`` and the order it is unique."""

    market: SandboxMarket
    at: int
    owner: str
    execution: Execution
    match: Match
    fee: int = 0


WorldEvent = (
    BookChanged | Traded | MarketMoved | TickChanged | PriceMoved | SpotTraded | OrderEvent | FillEvent
)
