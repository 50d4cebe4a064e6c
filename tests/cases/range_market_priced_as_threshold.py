"""A Kalshi range market (strike_type "between") reaches strategies as an above-the-floor market.

Run from a Presage checkout:  .venv/bin/python range_market_priced_as_threshold.py   (exit 0 = right)
The listing is rebuilt in the shape of GET /markets; names and numbers are made up.
"""

import random
import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.kalshi.market_data.listings import rest_frame
from libs.venues.kalshi.market_data.normalise import KalshiNormaliser
from proto.feed import Market
from proto.units import ONE, SECOND
from services.signal.momentum import Momentum
from tests.support.signal_world import SignalWorld

world = SignalWorld(Momentum, twin=False)
from datetime import UTC, datetime

close = datetime.fromtimestamp((world.now + 3_000 * SECOND) / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
opened = datetime.fromtimestamp((world.now - 3_000 * SECOND) / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
row = {
    "ticker": "KXBTC-T0-B80250",
    "status": "active",
    "title": "Bitcoin price range",
    "result": "",
    "open_time": opened,
    "close_time": close,
    "strike_type": "between",
    "floor_strike": 80000,
    "cap_strike": 80499.99,
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}],
}
feed = KalshiNormaliser()
told = feed.normalise(rest_frame("markets", msgspec.json.encode({"markets": [row], "cursor": ""})), world.now)
(market,) = [m for m in told if isinstance(m, Market)]
print("told:", market.market, "underlying", market.underlying, "strike", market.strike)
world.put(market)
world.configure("momentum", {})
rng = random.Random(3)
spot = 81_500 * ONE  # far above the range: YES (80,000 to 80,499.99) is nearly worthless
world.trades([spot + rng.randrange(-4 * ONE, 4 * ONE) for _ in range(300)])
yes = market.outcomes[0].instrument
world.snapshot_book(yes, 7, 8)  # the market rightly asks 8 cents
world.snapshot_book(market.outcomes[1].instrument, 92, 93)
world.now += SECOND
out = world.trade(spot + 120 * ONE)  # a breakout further up: YES becomes worth less still
for p in out:
    print(
        "PROPOSED:",
        p.side.value,
        p.instrument,
        "at",
        p.price / ONE,
        "fair value",
        p.fair_value / ONE,
        "edge",
        p.edge / ONE,
    )
bad = [p for p in out if p.instrument == yes]
print("WRONG: buys the range as if it were 'above the floor'" if bad else "right: nothing bought")
sys.exit(bool(bad))
