"""Polymarket's addresses: hosts are defaults that configuration replaces, contracts are what orders sign for.

Source: docs/reference/venue-facts.md, Polymarket hosts; Polymarket contracts.
"""

CLOB_URL = "https://clob.polymarket.com"
"""Order book, orders, account."""
GAMMA_URL = "https://gamma-api.polymarket.com"
"""Discovery of markets and events."""
DATA_URL = "https://data-api.polymarket.com"
"""Positions and activity by wallet."""
MARKET_SOCKET_URL = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
"""Books, trades, ticks, resolutions."""
USER_SOCKET_URL = "wss://ws-subscriptions-clob.polymarket.com/ws/user"
"""Orders and trades of one account."""
PRICES_SOCKET_URL = "wss://ws-live-data.polymarket.com"
"""Chainlink and Binance prices (RTDS)."""

CHAIN_ID = 137
"""Polygon."""
EXCHANGE_V2 = "0xE111180000d2663C0091e4f400237545B87B996B"
"""Where ordinary markets trade."""
NEG_RISK_EXCHANGE_V2 = "0xe2222d279d744050d28e00520010520000310F59"
"""Where the markets of a negative-risk event trade."""
EXCHANGE_V3 = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"
"""Where "Poly V2" positions trade."""
