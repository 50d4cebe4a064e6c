"""Kalshi's markets in the sandbox's world."""

from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.market_data.grids import TAPERED
from sandbox.world.markets import MarketKind
from sandbox.world.venue_markets import MakerStyle, MarketSeries, VenueMarkets
from sandbox.world.venue_prices import PriceSource

MARKETS = VenueMarkets(
    series=(
        MarketSeries(KALSHI, "KXBTC15M", MarketKind.UPDOWN, 900),
        MarketSeries(KALSHI, "KXBTC1H", MarketKind.UPDOWN, 3600),
    ),
    source=PriceSource.BRTI,
    determined_after_s=2.0,
    settled_after_s=3.0,
    nets=True,
    disputed_every=5,
    price_steps=TAPERED,
    # They are listed by series; only the real ones end at quarter hours.
    round_windows=False,
    # Recorded windows show a spread of one step in half of the seconds.
    makers=MakerStyle(lag_s=(30.0, 90.0), spread_steps=1, sizes=(400, 2_400)),
)
