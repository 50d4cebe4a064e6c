"""Polymarket in the catalogue."""

from libs.keys.venues.kind import KeyKind
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.fees import POWER
from libs.venues.polymarket.params import PolymarketParams
from libs.venues.venue import HealthCheck, SandboxEntries, Venue

VENUE = Venue(
    name=POLYMARKET,
    params=PolymarketParams,
    normaliser="libs.venues.polymarket.market_data.normalise:build_normaliser",
    source="services.feed.live.polymarket:build_source",
    health_check=HealthCheck("clob_url", "/time"),
    fees=POWER,
    gateway="libs.venues.polymarket.trading.build:build_gateway",
    key=KeyKind.ETHEREUM,
    sandbox=SandboxEntries(
        "sandbox.polymarket.server:PolymarketServer",
        "sandbox.polymarket.faults:ACTED_OUT",
        "sandbox.polymarket.markets:MARKETS",
    ),
)
