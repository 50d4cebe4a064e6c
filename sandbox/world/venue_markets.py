"""What the world knows of a venue's markets: one ``VenueMarkets`` each, in ``sandbox/<venue>/markets.py``."""

from dataclasses import dataclass
from functools import cache

from libs.venues.catalogue import VENUES
from libs.venues.entry import load_entry
from proto.feed import PriceStep
from sandbox.world.markets import CENTS, MarketKind
from sandbox.world.venue_prices import PriceSource


@dataclass(frozen=True, slots=True)
class MarketSeries:
    """Markets that follow one another. ``window_s`` is the nominal length, before ``time_scale``."""

    venue: str
    name: str
    kind: MarketKind
    window_s: int
    version: str = "v1"


@dataclass(frozen=True, slots=True)
class MakerStyle:
    """How the maker of a venue's books quotes.

    ``lag_s``: bounds of how far behind the price it is, in nominal seconds, drawn once a market. ``spread_steps``:
    grid steps between its best prices. ``sizes``: bounds of a level, in whole contracts.
    """

    lag_s: tuple[float, float]
    spread_steps: int
    sizes: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueMarkets:
    """The markets of one venue.

    Attributes:
        series: what is listed.
        source: whose average decides them.
        determined_after_s: from the close until a result is known (proposed); real markets take 2 to 20 s.
        settled_after_s: from the result, or the end of a dispute, until it is final.
        redeem_after_s: from the settlement until winnings are in the balance; ``None``: only when they are redeemed.
        nets: whether yes and no of one market cancel each other out at once.
        disputed_every: one window in so many is disputed before it settles; 0: none.
        price_steps: the grid of prices.
        makers: how books are quoted; ``None`` where the venue has no books.
        round_windows: whether clients work out a window's name from the round time at which it opens.
    """

    series: tuple[MarketSeries, ...]
    source: PriceSource
    determined_after_s: float
    settled_after_s: float
    redeem_after_s: float | None = 0.0
    nets: bool = False
    disputed_every: int = 0
    price_steps: tuple[PriceStep, ...] = CENTS
    makers: MakerStyle | None = None
    round_windows: bool = True


def market_venues() -> list[str]:
    """Venues with markets of their own; the others only give prices."""
    return [name for name, venue in VENUES.items() if venue.sandbox is not None and venue.sandbox.markets]


@cache
def markets_of(venue: str) -> VenueMarkets:
    """What there is to know of a venue's markets."""
    entries = VENUES[venue].sandbox
    assert entries is not None
    found: VenueMarkets = load_entry(entries.markets)
    return found
