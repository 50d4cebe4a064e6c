"""Polymarket's markets in the sandbox's world."""

from libs.venues.polymarket import POLYMARKET
from sandbox.world.markets import MarketKind
from sandbox.world.venue_markets import MakerStyle, MarketSeries, VenueMarkets
from sandbox.world.venue_prices import PriceSource

MARKETS = VenueMarkets(
    series=(
        MarketSeries(POLYMARKET, "btc-updown-5m", MarketKind.UPDOWN, 300),
        MarketSeries(POLYMARKET, "btc-updown-15m", MarketKind.UPDOWN, 900),
        MarketSeries(POLYMARKET, "bitcoin-up-or-down", MarketKind.UPDOWN, 3600, version="v2"),
        MarketSeries(POLYMARKET, "bitcoin-range", MarketKind.NEG_RISK, 1800),
        MarketSeries(POLYMARKET, "sandbox-coin-lands-on-edge", MarketKind.VOID, 1200),
    ),
    source=PriceSource.CHAINLINK,
    determined_after_s=4.0,
    settled_after_s=4.0,
    redeem_after_s=5.0,
    # A client may join inside the spread.
    makers=MakerStyle(lag_s=(12.0, 40.0), spread_steps=2, sizes=(30, 900)),
)
