"""Binance in the catalogue: prices only."""

from libs.venues.binance import BINANCE
from libs.venues.binance.params import BinanceParams
from libs.venues.venue import HealthCheck, SandboxEntries, Venue

VENUE = Venue(
    name=BINANCE,
    params=BinanceParams,
    normaliser="libs.venues.binance.market_data.normalise:build_normaliser",
    source="services.feed.live.binance:build_source",
    health_check=HealthCheck("rest_url", "/api/v3/time"),
    sandbox=SandboxEntries("sandbox.binance.server:BinanceServer", "sandbox.binance.faults:ACTED_OUT"),
)
