"""A Polymarket position of 5 to 9 shares gets no working target: each half is below the venue's least resting order.

The exit machine's ladder is run for positions of several sizes, each proposal is prepared as the live gateway
would, and sent to the paper exchange. Run from a Presage checkout. Exit 0 = what the ladder proposes can be placed, or paper refuses it too.
"""

import sys

sys.path.insert(0, ".")
import msgspec

from libs.exchange.exchange import PaperExchange
from libs.exchange.orders import Ended, EndReason
from libs.exchange.orders import ExchangeOrder as PaperOrder
from libs.venues.errors import Refused
from libs.venues.gateway import NewOrder
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from libs.venues.polymarket.trading.auth import SigningAccount
from libs.venues.polymarket.trading.request import Token, prepare_order
from proto.feed import Book, Level, Market, MarketStatus
from proto.units import ONE
from tests.support import exit_world

CONDITION, A, B = "0x" + "ab" * 32, "7" * 70, "8" * 70
AT = exit_world.START
# the market as the feed tells it, from Gamma's body with orderMinSize 5
body = [
    {
        "conditionId": CONDITION,
        "question": "?",
        "slug": "s",
        "outcomes": '["Yes","No"]',
        "clobTokenIds": msgspec.json.encode([A, B]).decode(),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "endDate": "2026-12-31T00:00:00Z",
    }
]
(feed_market,) = [
    m
    for m in PolymarketNormaliser().normalise(
        b'{"_rest":"gamma_markets","body":' + msgspec.json.encode(body) + b"}", 10**18
    )
    if isinstance(m, Market)
]
print(
    "fields of the market message that name a least size:",
    [f for f in Market.__struct_fields__ if "min" in f] or "none",
)
token = Token(
    instrument="polymarket:x:yes",
    market="polymarket:x",
    condition=CONDITION,
    token=A,
    tick=10_000,
    size_min=5 * ONE,
    neg_risk=False,
)
account = SigningAccount(bytes(range(1, 33)))
DEFAULTS = {}
wrong = 0
for shares in (3, 5, 6, 8, 9, 10, 12):
    world = exit_world.World(params=DEFAULTS, twin=False)
    world.quote(50 * exit_world.CENT)
    world.enter(shares * ONE, 50 * exit_world.CENT)
    world.entry_done()
    for _ in range(4):
        world.advance(1)
    asked = [p for _, p in world.proposals]
    line = []
    for n, p in enumerate(asked):
        new = NewOrder(
            order=f"t1-{n}-0",
            market="polymarket:x",
            instrument="polymarket:x:yes",
            side=p.side,
            price=p.price,
            quantity=p.quantity,
            time_in_force=p.time_in_force,
            expires_at=p.expires_at,
            approved_at=world.now,
            post_only=False,
        )
        try:
            prepare_order(new, token, account, "00000000-0000-0000-0000-000000000001")
            live = "placed"
        except Refused as e:
            live = f"REFUSED {e.code}"
        paper = PaperExchange()
        paper.market(feed_market.replace(status=MarketStatus.OPEN, close_at=0), world.now)
        inst = feed_market.outcomes[0].instrument
        paper.book(
            Book(
                instrument=inst,
                at=world.now,
                counter=1,
                bids=(Level(490_000, 100 * ONE),),
                asks=(Level(500_000, 100 * ONE),),
                snapshot=True,
            ),
            world.now,
        )
        reports = paper.submit(
            PaperOrder(
                order="o",
                market=feed_market.market,
                instrument=inst,
                buy=False,
                price=p.price,
                quantity=p.quantity,
                time_in_force=p.time_in_force,
                expires_at=2**62,
                post_only=False,
            ),
            world.now,
        )
        refused = any(isinstance(r, Ended) and r.reason is EndReason.REJECTED for r in reports)
        line.append(
            f"{p.time_in_force.value} {p.quantity / ONE:g} @ {p.price / ONE:g}: live {live}, paper {'refused' if refused else 'taken'}"
        )
        wrong += live != "placed" and not refused
    print(f"{shares:3d} shares ->", "; ".join(line) or "no proposal")
sys.exit(bool(wrong))
