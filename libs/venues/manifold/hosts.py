"""Where Manifold is reached. Defaults only: hosts are parameters everywhere.

Source: docs/reference/venue-facts.md, Manifold hosts.
"""

REST_URL = "https://api.manifold.markets/v0"
WEBSOCKET_URL = "wss://api.manifold.markets/ws"
