"""Where Manifold is reached, and how often. Defaults only: hosts are parameters everywhere.

Source: docs/reference/venue-facts.md, Manifold hosts.
"""

REST_URL = "https://api.manifold.markets/v0"
WEBSOCKET_URL = "wss://api.manifold.markets/ws"

READS_PER_S = 5.0
"""The venue allows an address 500 a minute. Reads and orders have a bucket each: reads starve no order."""
ORDERS_PER_S = 2.0
BURST = 20.0
PING_EVERY_S = 30.0
"""The venue drops a connection after 60 s without a word from us."""
SILENCE_S = 120.0
"""Answers to pings prove nothing but the line; with so long without a bet the market data is asked for."""
CONNECTION_MAX_S = 12 * 3_600.0
