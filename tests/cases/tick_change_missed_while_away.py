"""A tick that changed while the socket was away is not taken over from the book or from Gamma, once the socket has told one.

Run from a Presage checkout. Exit 0 = the market's grid is the venue's.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from proto.feed import Market
from proto.units import ONE

S = 10**9
AT = 1_780_000_000 * S
J = msgspec.json.encode
C, A, B = "0x" + "ab" * 32, "7" * 70, "8" * 70


def gamma(tick):
    row = {
        "conditionId": C,
        "question": "?",
        "slug": "s",
        "outcomes": '["Yes","No"]',
        "clobTokenIds": J([A, B]).decode(),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "orderPriceMinTickSize": tick,
        "orderMinSize": 5,
        "endDate": "2026-12-31T00:00:00Z",
        "negRisk": False,
    }
    return b'{"_rest":"gamma_markets","body":' + J([row]) + b"}"


def book(tick, price):
    lo, hi = f"{price - tick:.4f}".rstrip("0"), f"{price + tick:.4f}".rstrip("0")
    return J(
        {
            "event_type": "book",
            "asset_id": A,
            "market": C,
            "bids": [{"price": lo, "size": "100"}],
            "asks": [{"price": hi, "size": "100"}],
            "timestamp": "1776685885000",
            "hash": "",
            "tick_size": str(tick),
            "last_trade_price": "0.5",
        }
    )


def change(old, new):
    return J(
        {
            "event_type": "tick_size_change",
            "asset_id": A,
            "market": C,
            "old_tick_size": old,
            "new_tick_size": new,
            "timestamp": "1776685885001",
        }
    )


def grid(n):
    (m,) = [m for m in n.resend(AT) if isinstance(m, Market)]
    return m.price_steps[0].step / ONE if m.price_steps else None


wrong = 0


def check(what, n, want):
    global wrong
    wrong += grid(n) != want
    print(f"{what:92s} grid {grid(n)}, the venue's is {want}", "" if grid(n) == want else "  <-- WRONG")


UP, DOWN = J({"type": "_ws_connected"}), J({"type": "_ws_disconnected"})
n = PolymarketNormaliser()
n.normalise(gamma(0.01), AT)
n.normalise(UP, AT)
n.normalise(book(0.01, 0.95), AT)
n.normalise(change("0.01", "0.001"), AT + S)
check("told 0.01 -> 0.001 by the socket", n, 0.001)
n.normalise(DOWN, AT + 2 * S)
n.normalise(UP, AT + 60 * S)
n.normalise(book(0.01, 0.80), AT + 61 * S)
check("away while it went back to 0.01; the new snapshot says tick_size 0.01", n, 0.01)
n.normalise(gamma(0.01), AT + 90 * S)
check("... and Gamma says 0.01", n, 0.01)
n = PolymarketNormaliser()
n.normalise(gamma(0.01), AT)
n.normalise(UP, AT)
n.normalise(book(0.01, 0.95), AT)
n.normalise(DOWN, AT + 2 * S)
n.normalise(UP, AT + 60 * S)
n.normalise(book(0.001, 0.985), AT + 61 * S)
check("never told one; away while it went to 0.001; the new snapshot says so", n, 0.001)
n.normalise(gamma(0.001), AT + 90 * S)
check("... and Gamma says 0.001", n, 0.001)
n = PolymarketNormaliser()
n.normalise(gamma(0.001), AT)
n.normalise(UP, AT)
n.normalise(change("0.001", "0.0001"), AT + S)
check("0.001 -> 0.0001", n, 0.0001)
sys.exit(bool(wrong))
