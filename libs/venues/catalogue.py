"""All venues.

The order is part of what a recording of several venues comes out as (their ticks are read in it), and of the
sandbox's ports: a new venue goes to the end.
"""

from functools import lru_cache

from libs.keys.venues.kind import KeyKind
from libs.venues.binance.venue import VENUE as BINANCE
from libs.venues.coinbase.venue import VENUE as COINBASE
from libs.venues.fees import FREE, FeeFormula
from libs.venues.kalshi.venue import VENUE as KALSHI
from libs.venues.manifold.venue import VENUE as MANIFOLD
from libs.venues.polymarket.venue import VENUE as POLYMARKET
from libs.venues.venue import Venue


class Catalogue(dict[str, Venue]):
    """Name → venue."""

    def __init__(self, *venues: Venue) -> None:
        super().__init__((venue.name, venue) for venue in venues)

    def add(self, venue: Venue) -> None:
        """Add a venue that lives elsewhere, before anything asks for it.

        Raises:
            ValueError: there is one of this name.
        """
        if venue.name in self:
            raise ValueError(f"expected a new name of a venue, was {venue.name!r}")
        self[venue.name] = venue
        fee_formula.cache_clear()


VENUES = Catalogue(KALSHI, POLYMARKET, BINANCE, MANIFOLD, COINBASE)


def traded() -> list[str]:
    """Venues that take orders; the others only give prices."""
    return [name for name, venue in VENUES.items() if venue.takes_orders]


def takes_orders(venue: str) -> bool:
    """Whether there is a venue of this name to which orders can be sent."""
    return venue in VENUES and VENUES[venue].takes_orders


def in_sandbox() -> list[str]:
    """Venues that have a part in the sandbox, in the order of its ports."""
    return [name for name, venue in VENUES.items() if venue.sandbox is not None]


def key_kinds() -> dict[str, KeyKind]:
    """Venue → the kind of key it takes, of those that take one."""
    return {name: venue.key for name, venue in VENUES.items() if venue.key is not None}


@lru_cache(maxsize=64)
def fee_formula(model: str) -> FeeFormula | None:
    """The formula of a name; ``None`` for one that no venue has."""
    if model == FREE.model:
        return FREE
    for venue in VENUES.values():
        if venue.fees.model == model:
            return venue.fees
    return None
