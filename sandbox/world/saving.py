"""What of the world is saved, so that a sandbox that is started again can resume: plain data.

Makers and their quotes are not in it: they start again, and a book without them is as after any restart of
a venue. Random generators are seeded again, by the moment of the restart.
"""

from typing import Any

import msgspec
from msgspec import Struct

from libs.exchange.matching_types import LimitOrder
from sandbox.world.markets import SandboxMarket
from sandbox.world.order_entry import is_internal
from sandbox.world.spot import SavedSpot
from sandbox.world.venue_prices import SavedPrice

_FIELDS = [name for name in SandboxMarket.__dataclass_fields__ if name != "book"]


class SavedMarket(Struct):
    """A market by the names of its fields, its clients' resting orders, and how often its book matched."""

    facts: dict[str, Any]
    orders: list[LimitOrder]
    matches: int


class SavedWorld(Struct):
    """The world ``at`` a moment; exchanges by the name of their source."""

    at: int
    price: SavedPrice
    spot: dict[str, SavedSpot]
    markets: list[SavedMarket]


def save_market(market: SandboxMarket) -> SavedMarket:
    """Return a market as it stands."""
    facts = {name: msgspec.to_builtins(getattr(market, name)) for name in _FIELDS}
    orders = [order for order in market.book.orders() if not is_internal(order.owner)]
    return SavedMarket(facts, orders, market.book.matches)


def load_market(row: SavedMarket) -> SandboxMarket:
    """Return the market again, with an empty book.

    Raises:
        msgspec.ValidationError: for fields that are not what they should be.
    """
    return msgspec.convert(row.facts, SandboxMarket)
