"""A Polymarket account, a market it trades and orders for it."""

from typing import Any

from libs.venues.gateway import NewOrder
from libs.venues.polymarket.trading.auth import SigningAccount
from libs.venues.polymarket.trading.directory import TradedMarket
from libs.venues.polymarket.trading.request import Token
from proto.feed import FeeSchedule, Side
from proto.risk import TimeInForce
from proto.units import ONE, SECOND

AT = 1_785_000_000 * SECOND
CONDITION = "0x" + "cd" * 32
UP, DOWN = "9" * 70, "8" * 70
OWNER = "00000000-0000-0000-0000-000000000001"
ACCOUNT = SigningAccount(bytes(range(1, 33)))
MARKET = f"polymarket:{CONDITION}"


def token(name: str, **fields: Any) -> Token:
    base: dict[str, Any] = {
        "instrument": f"{MARKET}:{name}",
        "market": MARKET,
        "condition": CONDITION,
        "token": UP if name == "up" else DOWN,
        "tick": 10_000,
        "size_min": 5 * ONE,
        "neg_risk": False,
    }
    return Token(**base | fields)


TRADED = TradedMarket(
    CONDITION, MARKET, (token("up"), token("down")), FeeSchedule(model="polymarket", taker_rate=70_000)
)


def new(**fields: Any) -> NewOrder:
    base: dict[str, Any] = {
        "order": "t1-4711-0",
        "market": MARKET,
        "instrument": f"{MARKET}:up",
        "side": Side.BUY,
        "price": 370_000,
        "quantity": 10 * ONE,
        "time_in_force": TimeInForce.GTC,
        "expires_at": AT + 5 * SECOND,
        "approved_at": AT,
    }
    return NewOrder(**base | fields)
