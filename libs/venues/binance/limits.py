"""How often Binance may be asked.

Source: docs/reference/venue-facts.md, Binance streams; Binance rate limits.
"""

WEIGHT_PER_MINUTE = 6_000
"""REQUEST_WEIGHT of one address. We use at most half: others behind the same address count too."""
OUTGOING_PER_S = 4.0
"""The venue drops who sends more than 5 messages a second; pings and pongs count."""
STREAMS_MAX = 1_024
"""Streams of one connection."""

DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
"""Weight of ``/depth`` by its limit, at most."""
WEIGHTS = {"/klines": 2, "/trades": 25, "/ticker/bookTicker": 2, "/time": 1}
