"""Coinbase in the catalogue: prices only."""

from libs.venues.coinbase import COINBASE
from libs.venues.coinbase.params import CoinbaseParams
from libs.venues.venue import HealthCheck, SandboxEntries, Venue

VENUE = Venue(
    name=COINBASE,
    params=CoinbaseParams,
    normaliser="libs.venues.coinbase.market_data.normalise:build_normaliser",
    source="services.feed.live.coinbase:build_source",
    health_check=HealthCheck("rest_url", "/time"),
    sandbox=SandboxEntries("sandbox.coinbase.server:CoinbaseServer", "sandbox.coinbase.faults:ACTED_OUT"),
)
