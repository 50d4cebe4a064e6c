"""Where Kalshi is reached (facts/venues.md B.1). Defaults only: every client takes its hosts as parameters."""

REST_URL = "https://external-api.kalshi.com/trade-api/v2"
WEBSOCKET_URL = "wss://external-api-ws.kalshi.com/trade-api/ws/v2"
