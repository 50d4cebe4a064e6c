"""Where Kalshi is reached (facts/venues.md B.1). Defaults only: every client takes its hosts as parameters."""

REST_URL = "https://external-api.kalshi.com/trade-api/v2"
WEBSOCKET_URL = "wss://external-api-ws.kalshi.com/trade-api/ws/v2"
DEMO_REST_URL = "https://external-api.demo.kalshi.co/trade-api/v2"
"""The venue's own practice exchange: another account, other keys."""
DEMO_WEBSOCKET_URL = "wss://external-api-ws.demo.kalshi.co/trade-api/ws/v2"
