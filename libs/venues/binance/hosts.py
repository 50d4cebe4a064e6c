"""Where Binance is reached, and how often. Defaults only: hosts are parameters everywhere.

Source: docs/reference/venue-facts.md, Binance hosts; Binance streams; Binance rate limits.
"""

REST_URL = "https://data-api.binance.vision"
"""Market data only, and reachable where api.binance.com answers 451."""
WEBSOCKET_URL = "wss://data-stream.binance.vision"

WEIGHT_PER_MINUTE = 6_000
"""REQUEST_WEIGHT of one address. We use at most half: others behind the same address count too."""
OUTGOING_PER_S = 4.0
"""The venue drops who sends more than 5 messages a second; pings and pongs count."""
STREAMS_MAX = 1_024
"""Streams of one connection."""
CONNECTION_MAX_S = 23 * 3_600.0
"""The venue ends each connection after 24 hours; ours end before, when we choose."""
SILENCE_S = 15.0
"""A traded symbol moves several times a second, and candles come every two: so long without is no quiet time."""

DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
"""Weight of ``/depth`` by its limit, at most."""
WEIGHTS = {"/klines": 2, "/trades": 25, "/ticker/bookTicker": 2, "/time": 1}
