"""Two Polymarket listings: the placeholder "Other" of an augmented neg-risk event, and a market whose tick only the book tells.

Run from a Presage checkout. Exit 0 = "Other" is not offered for trading, and the book's tick becomes the market's grid.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from proto.feed import Market, MarketStatus
from proto.units import ONE

S = 10**9
AT = 1_780_000_000 * S
J = msgspec.json.encode
A, B = "7" * 70, "8" * 70
wrong = 0


def row(n, **more):
    base = {
        "conditionId": "0x" + f"{n:02x}" * 32,
        "question": "?",
        "slug": "s",
        "outcomes": '["Yes","No"]',
        "clobTokenIds": J([A[:-1] + str(n), B[:-1] + str(n)]).decode(),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "endDate": "2026-12-31T00:00:00Z",
        "negRisk": True,
        "negRiskMarketID": "0xfe",
    }
    return base | more


def told(n, frame):
    return [m for m in n.normalise(frame, AT) if isinstance(m, Market)]


event = [
    {
        "id": "9",
        "slug": "which",
        "negRisk": True,
        "negRiskAugmented": True,
        "enableNegRisk": True,
        "negRiskMarketID": "0xfe",
        "markets": [
            row(1, question="Will A win?", groupItemTitle="A"),
            row(
                2, question="Will another win?", groupItemTitle="Other", negRiskOther=True, outcomePrices=None
            ),
        ],
    }
]
n = PolymarketNormaliser()
for m in told(n, b'{"_rest":"gamma_events","body":' + J(event) + b"}"):
    print("augmented event:", m.title, "->", m.status.value, "group", m.group)
    wrong += m.title == "Will another win?" and m.status is MarketStatus.OPEN
n = PolymarketNormaliser()
tickless = row(3, negRisk=False, negRiskMarketID=None)
del tickless["orderPriceMinTickSize"]
(m,) = told(n, b'{"_rest":"gamma_markets","body":' + J([tickless]) + b"}")
print("Gamma without a tick: grid", [s.step / ONE for s in m.price_steps] or "none")
n.normalise(J({"type": "_ws_connected"}), AT)
token = A[:-1] + "3"
n.normalise(
    J(
        {
            "event_type": "book",
            "asset_id": token,
            "market": m.market.partition(":")[2],
            "bids": [{"price": "0.95", "size": "10"}],
            "asks": [{"price": "0.97", "size": "10"}],
            "timestamp": "1776685885000",
            "hash": "",
            "tick_size": "0.01",
            "last_trade_price": "0.5",
        }
    ),
    AT + S,
)
(m,) = [m for m in n.resend(AT + S) if isinstance(m, Market)]
print("... after a book with tick_size 0.01: grid", [s.step / ONE for s in m.price_steps] or "none")
wrong += not m.price_steps
sys.exit(bool(wrong))
