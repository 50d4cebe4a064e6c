"""Kalshi's shards: engines of their own, each with its markets, money and order groups. What trades here is on one."""

from sandbox.kalshi.refusals import bad_request
from sandbox.world.markets import SandboxMarket

DEFAULT = 0
"""The shard of a request that names neither a shard nor a market."""
CRYPTO = 2
"""Crypto events live on this shard since August 2026; money elsewhere cannot buy their contracts."""
BY_TICKER = -1
"""In a request: on the shard of the market that it names."""
SHARDS = {DEFAULT: "Default", 1: "Combos", CRYPTO: "Crypto", 3: "Tennis and baseball"}
"""What each is for, in words of ours."""


def shard_of(_market: SandboxMarket) -> int:
    """Return the shard of a market: every one here is about Bitcoin."""
    return CRYPTO


def routed(index: int | None, market: SandboxMarket | None, ticker: str | None) -> int:
    """Return the shard that a request goes to. ``market`` is what it names by ``ticker``, if there is one.

    A shard that is named is taken as it is: what is elsewhere is not found there.
    """
    if index is not None and index != BY_TICKER:
        if index not in SHARDS:
            raise bad_request("invalid exchange_index")
        return index
    if ticker:
        if market is None:
            raise bad_request("invalid market_ticker")
        return shard_of(market)
    if index == BY_TICKER:
        raise bad_request("market_ticker is required with exchange_index -1")
    return DEFAULT
