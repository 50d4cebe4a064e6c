"""Polymarket's endDate is when a question is expected to be answered; trading goes on until the venue closes the market.

Seen in captured bodies of 2026 (ids and values here made up): endDate four weeks, two weeks, a day and 15 hours in the
past, closed false, acceptingOrders true, up to 1.4 M of volume in a day (an election with a second round; "by December
31" with the endDate of January 31). Only up-or-down windows end by the clock.
Run from a Presage checkout. Exit 0 = after such an endDate orders are taken on paper, and a stop still sells.
"""

import sys

sys.path.insert(0, ".")
from datetime import UTC, datetime

import msgspec

from libs.exchange.orders import ExchangeOrder
from libs.exchange.rules import refusal
from libs.venues.polymarket.market_data.normalise import PolymarketNormaliser
from proto.feed import Market, MarketStatus
from proto.risk import TimeInForce
from proto.units import ONE, SECOND
from tests.support import exit_world

J = msgspec.json.encode
NOW = exit_world.START + 86_400 * SECOND
row = {
    "conditionId": "0x" + "cd" * 32,
    "question": "Will X win the election?",
    "slug": "will-x-win",
    "outcomes": '["Yes","No"]',
    "clobTokenIds": J(["7" * 70, "8" * 70]).decode(),
    "active": True,
    "closed": False,
    "acceptingOrders": True,
    "enableOrderBook": True,
    "orderPriceMinTickSize": 0.01,
    "orderMinSize": 5,
    "negRisk": True,
    "negRiskMarketID": "0xfe",
    "umaResolutionStatuses": "[]",
    "feesEnabled": False,
    "endDate": datetime.fromtimestamp((NOW - 15 * 3_600 * SECOND) / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
}
n = PolymarketNormaliser()
(market,) = [
    m
    for m in n.normalise(b'{"_rest":"gamma_markets","body":' + J([row]) + b"}", NOW)
    if isinstance(m, Market)
]
print(
    "told:",
    market.status.value,
    "close",
    (market.close_at - NOW) / SECOND / 3_600 if market.close_at else None,
    "h from now",
)
order = ExchangeOrder(
    "o",
    market.market,
    market.outcomes[0].instrument,
    False,
    40 * exit_world.CENT,
    10 * ONE,
    TimeInForce.IOC,
    NOW + 60 * SECOND,
)
said = refusal(market, order, NOW)
print("an order to sell on paper:", said or "taken")

# Bought while nobody thought of the end, and still held after it: the price falls below the stop.
facts = exit_world.MARKET.replace(close_at=0, status=market.status)
w = exit_world.World(market=facts, twin=False)
w.quote(50 * exit_world.CENT)
w.enter(10 * ONE, 50 * exit_world.CENT)
w.entry_done()
w.advance(3)
before = len(w.proposals)
w.put(facts.replace(close_at=market.close_at and w.now - 15 * 3_600 * SECOND))
w.quote(30 * exit_world.CENT)
for _ in range(120):
    w.work()
sold = [p.quantity / ONE for _, p in w.proposals[before:] if p.time_in_force.value == "ioc"]
print(
    "exit: stage", w.stage, "still held", w.position / ONE, "immediate sales proposed in two minutes:", sold
)
sys.exit(not (market.status is MarketStatus.OPEN and not said and w.position == 0))
