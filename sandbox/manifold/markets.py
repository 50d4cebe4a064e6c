"""Manifold's markets in the sandbox's world: they have a pool and a house of their own, and no maker."""

from libs.venues.manifold import MANIFOLD
from sandbox.world.markets import MarketKind
from sandbox.world.venue_markets import MarketSeries, VenueMarkets
from sandbox.world.venue_prices import PriceSource

MARKETS = VenueMarkets(
    series=(
        MarketSeries(MANIFOLD, "bitcoin-level-15m", MarketKind.QUESTION, 900),
        MarketSeries(MANIFOLD, "bitcoin-level-1h", MarketKind.QUESTION, 3600),
        MarketSeries(MANIFOLD, "sandbox-coin-lands-on-edge", MarketKind.VOID, 1200),
    ),
    source=PriceSource.BINANCE,
    determined_after_s=2.0,
    settled_after_s=0.5,
)
