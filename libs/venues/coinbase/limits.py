"""How often Coinbase Exchange may be asked, and for what.

Source: docs/reference/venue-facts.md, Coinbase channels; Coinbase candles; Coinbase rate limits.
"""

REQUESTS_PER_S = 5.0
"""The public interface allows 10 a second and bursts of 15 an address; we use half."""
REQUESTS_BURST = 7.0
CANDLES_MAX = 300
"""Candles of one answer, at most; asking for more is refused."""
GRANULARITIES_S = (60, 300, 900, 3_600, 21_600, 86_400)
"""Lengths of candles the venue has."""
CHANNELS = ("matches", "ticker", "heartbeat")
"""Trades, best prices, and each second the newest trade's number. ``level2_batch`` adds the book."""
