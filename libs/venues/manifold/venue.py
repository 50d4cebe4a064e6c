"""Manifold in the catalogue."""

from libs.keys.venues.kind import KeyKind
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.params import ManifoldParams
from libs.venues.venue import Currency, HealthCheck, SandboxEntries, Venue

VENUE = Venue(
    name=MANIFOLD,
    params=ManifoldParams,
    normaliser="libs.venues.manifold.market_data.normalise:build_normaliser",
    source="services.feed.live.manifold:build_source",
    health_check=HealthCheck("rest_url", "/markets?limit=1"),
    currency=Currency.MANA,
    gateway="libs.venues.manifold.trading.build:build_gateway",
    key=KeyKind.API,
    sandbox=SandboxEntries(
        "sandbox.manifold.server:ManifoldServer",
        "sandbox.manifold.faults:ACTED_OUT",
        "sandbox.manifold.markets:MARKETS",
    ),
)
