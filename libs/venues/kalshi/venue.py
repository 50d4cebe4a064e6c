"""Kalshi in the catalogue."""

from libs.keys.venues.kind import KeyKind
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.fees import QUADRATIC
from libs.venues.kalshi.params import KalshiParams
from libs.venues.venue import HealthCheck, SandboxEntries, Venue

VENUE = Venue(
    name=KALSHI,
    params=KalshiParams,
    normaliser="libs.venues.kalshi.market_data.normalise:build_normaliser",
    source="services.feed.live.kalshi:build_source",
    health_check=HealthCheck("rest_url", "/exchange/status"),
    fees=QUADRATIC,
    gateway="libs.venues.kalshi.trading.build:build_gateway",
    key=KeyKind.RSA,
    signs_market_data=True,
    real_hosts=("api.elections.kalshi.com",),
    sandbox=SandboxEntries(
        "sandbox.kalshi.server:KalshiServer",
        "sandbox.kalshi.faults:ACTED_OUT",
        "sandbox.kalshi.markets:MARKETS",
    ),
)
