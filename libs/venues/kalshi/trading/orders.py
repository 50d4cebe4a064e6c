"""Our orders as Kalshi's V2 order bodies: YES leg, price grid, counts, lifetime, deterministic id."""

import uuid
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from libs.bounded import clip
from libs.venues.errors import Refused
from libs.venues.gateway import FillReport, NewOrder
from libs.venues.kalshi import KALSHI
from libs.venues.kalshi.legs import BookSide, contract_of, own_leg, yes_leg
from libs.venues.kalshi.params import SelfTrade
from libs.venues.kalshi.schemas.amounts import QUANTITY_GRID
from libs.venues.numbers import PRICE_GRID
from proto.feed import PriceStep
from proto.risk import TimeInForce
from proto.units import ONE, SECOND, show

PRESAGE_NAMESPACE = uuid.UUID("5b1f8c0e-6f0a-5c1b-9d6e-3c2f7a51d0e4")
"""Turns an order's id into the one client order id it will ever have. Changing it orphans open orders."""
BY_TICKER = -1
"""Shard number that lets the venue route by ticker."""

TimeInForceWord = Literal["fill_or_kill", "good_till_canceled", "immediate_or_cancel"]


class OrderBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of ``POST /portfolio/events/orders``. ``price`` is for YES; ``expiration_time`` in seconds."""

    ticker: str
    client_order_id: str
    side: BookSide
    count: str
    price: str
    time_in_force: TimeInForceWord
    self_trade_prevention_type: SelfTrade
    post_only: bool = False
    expiration_time: int | None = None
    reduce_only: bool = False
    cancel_order_on_pause: bool = False
    order_group_id: str | None = None
    subaccount: int = 0
    exchange_index: int = BY_TICKER


class Placing(Struct, frozen=True, kw_only=True):
    """What the venue knows of an order's market, and how the account wants its orders placed."""

    price_steps: Sequence[PriceStep] = ()
    exchange_index: int = BY_TICKER
    order_group_id: str | None = None
    subaccount: int = 0
    cancel_on_pause: bool = False
    self_trade_prevention: SelfTrade = "taker_at_cross"


def client_order_id(order: str) -> str:
    """The id under which the venue can be asked about an order: the same for ever."""
    return str(uuid.uuid5(PRESAGE_NAMESPACE, order))


def order_body(new: NewOrder, placing: Placing) -> OrderBody:
    """Build the body of an order.

    Raises:
        Refused: for what the venue cannot express: another venue's instrument, a price off the market's
            grid, a count off 0.01, a lifetime on an order that does not rest.
    """
    try:
        contract = contract_of(new.instrument)
    except ValueError as e:
        raise _refused("invalid_instrument", str(e)) from None
    leg = yes_leg(contract.outcome, new.side, new.price)
    if not on_grid(leg.price, placing.price_steps):
        raise _refused("invalid_price", f"expected a YES price on the market's grid, was {show(leg.price)}")
    if new.quantity <= 0 or new.quantity % QUANTITY_GRID:
        raise _refused(
            "invalid_count", f"expected a positive multiple of 0.01, was {new.quantity} millionths"
        )
    if new.post_only and new.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
        raise _refused("invalid_order", f"expected a resting order with post-only, was {new.time_in_force}")
    return OrderBody(
        ticker=contract.ticker,
        client_order_id=client_order_id(new.order),
        side=leg.side,
        count=count(new.quantity),
        price=dollars(leg.price),
        time_in_force=_TIMES[new.time_in_force],
        self_trade_prevention_type=placing.self_trade_prevention,
        post_only=new.post_only,
        expiration_time=new.expires_at // SECOND if new.time_in_force is TimeInForce.GTD else None,
        # The venue refuses the flag with any other lifetime; risk keeps resting exits within the position.
        reduce_only=new.reduce_only and new.time_in_force is TimeInForce.IOC,
        cancel_order_on_pause=placing.cancel_on_pause and new.time_in_force in _RESTING,
        order_group_id=placing.order_group_id,
        subaccount=placing.subaccount,
        exchange_index=placing.exchange_index,
    )


def encode_body(body: OrderBody) -> bytes:
    """The exact bytes to send; fields at their defaults are left out."""
    return msgspec.json.encode(body)


def on_grid(price: int, steps: Sequence[PriceStep]) -> bool:
    """Whether a YES price can be quoted; without known steps the venue's finest grid decides."""
    if not 0 < price < ONE:
        return False
    step, start = PRICE_GRID, 0
    for row in steps:
        if row.start <= price and row.step:
            start, step = row.start, row.step
    return (price - start) % step == 0


def dollars(value: int) -> str:
    """A price as the venue writes it: four decimals."""
    if value % PRICE_GRID:
        raise ValueError(f"expected a multiple of 0.0001, was {value} millionths")
    whole, rest = divmod(value, ONE)
    return f"{whole}.{rest // PRICE_GRID:04d}"


def count(value: int) -> str:
    """A number of contracts as the venue writes it: two decimals."""
    if value % QUANTITY_GRID:
        raise ValueError(f"expected a multiple of 0.01, was {value} millionths")
    sign = "-" if value < 0 else ""
    whole, rest = divmod(abs(value), ONE)
    return f"{sign}{whole}.{rest // QUANTITY_GRID:02d}"


def restate(fill: FillReport, instrument: str) -> FillReport:
    """The same fill in the words of the market's other outcome, when ``instrument`` is that one.

    The venue speaks of every ask as buying NO; whoever sent it as a sale of YES wants it told as such.

    Raises:
        ValueError: when the instruments are not of one market.
    """
    was, wanted = contract_of(fill.instrument), contract_of(instrument)
    if was.ticker != wanted.ticker:
        raise ValueError(f"expected an instrument of {was.ticker}, was {clip(instrument, 120)!r}")
    leg = yes_leg(was.outcome, fill.side, fill.price)
    side, price = own_leg(wanted.outcome, leg)
    return msgspec.structs.replace(fill, instrument=instrument, side=side, price=price)


_RESTING = (TimeInForce.GTC, TimeInForce.GTD)
_TIMES: dict[TimeInForce, TimeInForceWord] = {
    TimeInForce.GTC: "good_till_canceled",
    TimeInForce.GTD: "good_till_canceled",
    TimeInForce.IOC: "immediate_or_cancel",
    TimeInForce.FOK: "fill_or_kill",
}


def _refused(code: str, text: str) -> Refused:
    return Refused(KALSHI, text, code=code)
