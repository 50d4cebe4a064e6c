"""Families of markets: what is alike enough that a forecaster's record on one says something of the next."""

import re

from proto.feed import Market
from proto.units import SECOND

_LENGTHS = ((300, "5m"), (900, "15m"), (3_600, "1h"), (4 * 3_600, "4h"), (86_400, "1d"), (7 * 86_400, "1w"))
_QUOTED = re.compile(r"[-/_]?(usdt|usdc|usd)$")
SLACK_S = 120
"""A window that was listed or closes a little off its length is of that length."""


def family_of(market: Market) -> str:
    """The family: the coin, what decides, and the length (``btc-above-15m``); ``event-1d`` for what no price decides."""
    length = "open"
    if market.open_at and market.ends_at > market.open_at:
        seconds = (market.ends_at - market.open_at) // SECOND
        length = next((name for most, name in _LENGTHS if seconds <= most + SLACK_S), "long")
    coin = coin_of(market)
    return f"{coin}-{market.payoff.value}-{length}" if coin else f"event-{length}"


def coin_of(market: Market) -> str:
    """The coin or share whose price decides, in small letters (``btc``); empty for what no price decides."""
    if not market.underlying:
        return ""
    symbol = market.underlying.rpartition(":")[2].lower()[:40]
    return re.sub(r"[^a-z0-9]", "", _QUOTED.sub("", symbol)) or "other"
