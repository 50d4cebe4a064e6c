"""Which venues the sandbox can serve, and where their servers are."""

import importlib
import importlib.util

from sandbox.venue import VenueServer

SERVERS = {
    "polymarket": "sandbox.polymarket.server:PolymarketServer",
    "kalshi": "sandbox.kalshi.server:KalshiServer",
    "manifold": "sandbox.manifold.server:ManifoldServer",
    "binance": "sandbox.binance.server:BinanceServer",
    "coinbase": "sandbox.coinbase.server:CoinbaseServer",
}


def known(venue: str) -> bool:
    """Whether a venue's server is installed."""
    module = SERVERS[venue].partition(":")[0]
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def server_class(venue: str) -> type[VenueServer]:
    """A venue's server class.

    Raises:
        ValueError: for a venue without a server.
    """
    if venue not in SERVERS or not known(venue):
        served = ", ".join(v for v in SERVERS if known(v))
        raise ValueError(f"expected a venue of {served}, was {venue!r}")
    module, _, name = SERVERS[venue].partition(":")
    found: type[VenueServer] = getattr(importlib.import_module(module), name)
    return found
