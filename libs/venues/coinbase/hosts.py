"""Where Coinbase Exchange is reached. Defaults only: hosts are parameters everywhere.

Source: docs/reference/venue-facts.md, Coinbase hosts.
"""

REST_URL = "https://api.exchange.coinbase.com"
WEBSOCKET_URL = "wss://ws-feed.exchange.coinbase.com"
