"""A Polymarket market whose resolution was proposed, disputed, or begun anew still trades: its books and exits must go on.

Seen in captured bodies of October and February 2026 (ids and values here made up): umaResolutionStatus "disputed",
closed false, acceptingOrders true, 1.5 M of volume in a day; one of them months before its end. A dispute may be
answered by a new question (the status is gone again), so it is no stage that a market never comes back from.
Run from a Presage checkout. Exit 0 = such a market is told as one that takes orders, and its books go on.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from proto.feed import Book, Market, Quote

S = 10**9
AT = 1_780_000_000 * S
J = msgspec.json.encode
YES, NO = "7" * 70, "8" * 70
COND = "0x" + "ab" * 32
wrong = 0


def listed(**more):
    row = {
        "conditionId": COND,
        "question": "Will X be nominated?",
        "slug": "will-x",
        "outcomes": '["Yes","No"]',
        "clobTokenIds": J([YES, NO]).decode(),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "endDate": "2026-12-31T00:00:00Z",
        "negRisk": False,
        "feesEnabled": False,
    }
    return b'{"_rest":"gamma_markets","body":' + J([row | more]) + b"}"


def book(price, at):
    return J(
        {
            "event_type": "book",
            "asset_id": YES,
            "market": COND,
            "bids": [{"price": price, "size": "100"}],
            "asks": [{"price": "0.99", "size": "100"}],
            "timestamp": str(at // 10**6),
            "hash": "",
            "tick_size": "0.01",
        }
    )


for status in ("proposed", "disputed"):
    n = PolymarketNormaliser()
    market = [m for m in n.normalise(listed(), AT) if isinstance(m, Market)][-1]
    n.normalise(J({"type": "_ws_connected"}), AT)
    n.normalise(book("0.96", AT), AT + S)
    for what, frame in (
        (status, listed(umaResolutionStatus=status, umaResolutionStatuses='["proposed","disputed"]')),
        ("asked anew (no status)", listed()),
    ):
        told = [m for m in n.normalise(frame, AT + 2 * S) if isinstance(m, Market)]
        market = told[-1] if told else market
        later = n.normalise(book("0.60", AT + 3 * S), AT + 3 * S)
        quoted = any(isinstance(m, (Book, Quote)) for m in later)
        print(
            f"{what:24s} told {market.status.value:11s} a new book (bid 0.96 -> 0.60) {'is told' if quoted else 'IS NOT TOLD'}; subscribed tokens: {len(n.tokens())}"
        )
        wrong += not quoted or market.status.value in ("determined", "closed", "settled") or not n.tokens()
        wrong += what.startswith("asked") and market.status.value != "open"
sys.exit(bool(wrong))
