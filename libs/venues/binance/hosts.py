"""Where Binance is reached. Defaults only: hosts are parameters everywhere.

Source: docs/reference/venue-facts.md, Binance hosts.
"""

REST_URL = "https://data-api.binance.vision"
"""Market data only, and reachable where api.binance.com answers 451."""
WEBSOCKET_URL = "wss://data-stream.binance.vision"
