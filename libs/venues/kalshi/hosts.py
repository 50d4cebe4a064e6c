"""Where Kalshi is reached. Defaults only: every client takes its hosts as parameters.

Source: docs/reference/venue-facts.md, Kalshi hosts.
"""

REST_URL = "https://external-api.kalshi.com/trade-api/v2"
WEBSOCKET_URL = "wss://external-api-ws.kalshi.com/trade-api/ws/v2"
