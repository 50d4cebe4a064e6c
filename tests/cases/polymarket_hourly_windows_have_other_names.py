"""Polymarket's hourly and daily up-or-down markets are not called btc-updown-1h-SECOND: following that finds nothing, and says nothing.

Public names: bitcoin-up-or-down-october-2-2026-12pm-et (the hour from 12:00 New York time, 2026-10-02T16:00Z) and
bitcoin-up-or-down-on-october-5-2026; only 5m, 15m and 4h carry the second. The sandbox serves btc-updown-1h, a name that the venue
does not have. They are decided by Binance's candle, not by Chainlink: to be priced as that, or told as not priced.
Run from a Presage checkout. Exit 0 = the running hour is asked for by its real name, or the setting is refused.
"""

import sys

sys.path.insert(0, ".")
from libs.venues.polymarket.params import PolymarketParams
from services.feed.live.gamma_pages import window_slugs

NOW = 1_790_959_500  # 2026-10-02T16:45:00Z
REAL = "bitcoin-up-or-down-october-2-2026-12pm-et"
try:
    params = PolymarketParams(windows=("btc-updown-1h",))
except Exception as e:
    print("refused:", e)
    sys.exit(0)
asked = window_slugs(params.windows, NOW)
print("asked for:", asked, "- real name:", REAL)
sys.exit(REAL not in asked)
