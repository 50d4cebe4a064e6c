"""Bodies of requests about orders: read, checked, and turned into numbers of the market's grid."""

from typing import TypeVar

import msgspec
from msgspec import Struct

from libs.bounded import clip
from proto.units import UnitError, parse
from sandbox.kalshi.bodies import COUNT_GRID, PRICE_GRID
from sandbox.kalshi.refusals import bad_request
from sandbox.world.markets import SandboxMarket

Read = TypeVar("Read")


class NewOrderBody(Struct, kw_only=True):
    """The body of a new order."""

    ticker: str
    side: str
    count: str
    price: str
    time_in_force: str
    self_trade_prevention_type: str
    client_order_id: str = ""
    post_only: bool = False
    expiration_time: int | None = None
    reduce_only: bool = False
    cancel_order_on_pause: bool = False
    order_group_id: str | None = None
    subaccount: int = 0
    exchange_index: int | None = None


class AmendBody(Struct, kw_only=True):
    """The body of an amendment; ``count`` is the new total, what is filled included."""

    ticker: str
    side: str
    price: str
    count: str
    exchange_index: int | None = None


class DecreaseBody(Struct, kw_only=True):
    """The body of a decrease: by or to how many."""

    reduce_by: str | None = None
    reduce_to: str | None = None
    exchange_index: int | None = None
    market_ticker: str | None = None


class CancelItem(Struct, kw_only=True):
    """One order of a batch of cancels."""

    order_id: str
    subaccount: int = 0
    exchange_index: int | None = None
    market_ticker: str | None = None


def price_of(market: SandboxMarket, text: str) -> int:
    """Return a YES price of a request, on the market's grid."""
    price = _number(text, "price")
    if price % PRICE_GRID or not market.is_on_grid(price):
        raise bad_request(f"invalid price {clip(text, 20)}")
    return price


def count_of(text: str) -> int:
    """Return a count of a request."""
    value = _number(text, "count")
    if value <= 0 or value % COUNT_GRID:
        raise bad_request(f"invalid count {clip(text, 20)}")
    return value


def _number(text: str, name: str) -> int:
    try:
        return parse(text)
    except UnitError:
        raise bad_request(f"invalid {name}") from None


def read_body(data: bytes, kind: type[Read]) -> Read:
    """Return a request's body."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise bad_request(clip(str(e), 120)) from None
