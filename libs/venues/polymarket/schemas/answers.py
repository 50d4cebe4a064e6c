"""Bodies of the account's REST paths and of the user channel, and their numbers as integers.

Numbers are strings here and JSON numbers there; both are read from their own digits.
Source: docs/reference/venue-facts.md, Polymarket orders; Polymarket trades; Polymarket data API;
Polymarket user channel.
"""

from fractions import Fraction
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from libs.bounded import clip
from libs.venues.errors import BadAnswer
from libs.venues.frame import FrameError
from libs.venues.polymarket import POLYMARKET
from libs.venues.polymarket.schemas.gamma import nanoseconds
from proto.units import AMOUNT_MAX, ONE

Raw = msgspec.Raw
Id = Annotated[str, Meta(min_length=1, max_length=100)]

START, END = "MA==", "LTE="
"""First and last cursor of an account's lists."""


class OrderAnswer(Struct):
    """Answer to one order. Amounts are decimals in practice and millionths in the venue's examples.

    ``success`` is ``None`` where nothing is said of it.
    """

    success: bool | None = None
    orderID: str | None = ""  # noqa: N815 - the venue's names
    status: str | None = ""
    errorMsg: str | None = ""  # noqa: N815
    makingAmount: Raw = Raw()  # noqa: N815
    takingAmount: Raw = Raw()  # noqa: N815
    tradeIDs: list[str] | None = None  # noqa: N815


class Cancelled(Struct):
    """Answer to any cancel."""

    canceled: list[str] | None = None
    not_canceled: dict[str, str] | None = None


class OrderRow(Struct):
    """An order, from ``/data/order`` or the user channel."""

    id: Id
    status: str = ""
    market: str = ""
    asset_id: str = ""
    side: str | None = ""
    original_size: Raw = Raw()
    size_matched: Raw = Raw()
    price: Raw = Raw()
    order_type: str | None = ""
    owner: str | None = ""
    type: str | None = ""
    timestamp: str | None = None
    created_at: Raw = Raw()


class MakerRow(Struct):
    """One maker's part of a trade: with its own outcome, side and price."""

    order_id: Id
    matched_amount: Raw
    price: Raw
    asset_id: str
    side: str | None = ""
    owner: str | None = ""
    maker_address: str | None = ""


class TradeRow(Struct):
    """A trade. Its top level is the taker's; a maker's part is in ``maker_orders``."""

    id: Id
    status: str
    market: str
    asset_id: str
    side: str
    size: Raw
    price: Raw
    taker_order_id: str | None = ""
    owner: str | None = ""
    maker_address: str | None = ""
    trader_side: str | None = ""
    match_time: Raw = Raw()
    last_update: Raw = Raw()
    maker_orders: list[MakerRow] | None = None


class OrdersPage(Struct):
    """A page of orders, each an ``OrderRow``; without a cursor it is no page."""

    data: list[Raw]
    next_cursor: str


class TradesPage(Struct):
    """A page of trades, each a ``TradeRow``."""

    data: list[Raw]
    next_cursor: str


class BalanceBody(Struct):
    """``/balance-allowance``: millionths; with a point it would be units."""

    balance: str
    allowances: dict[str, str] | None = None
    allowance: str | None = None


class Beat(Struct):
    """The id to be echoed by the next heartbeat."""

    heartbeat_id: str = ""


class Position(Struct):
    """A position of the Data API; its numbers are JSON numbers."""

    asset: str
    conditionId: str  # noqa: N815
    size: Raw
    outcome: str = ""
    curPrice: Raw = Raw()  # noqa: N815
    redeemable: bool = False

    @property
    def is_worthless(self) -> bool:
        """Whether the venue says a price, and it is nothing."""
        return bool(bytes(self.curPrice)) and amount(self.curPrice, "price") == 0


class Activity(Struct):
    """A line of a wallet's activity."""

    conditionId: str = ""  # noqa: N815
    type: str = ""
    timestamp: Annotated[int, Meta(ge=0, le=2**43)] = 0


class ShortToken(Struct):
    """A token of ``/clob-markets``."""

    t: Annotated[str, Meta(pattern=r"^[0-9]{1,78}\Z")]
    o: str


class ShortFees(Struct):
    """Fee of ``/clob-markets``."""

    r: Raw = Raw(b"0")
    e: Raw = Raw(b"1")
    to: bool = True


class ShortMarket(Struct):
    """``/clob-markets/{condition}``. ``nr`` must be there: a guess signs for the wrong contract."""

    t: list[ShortToken]
    mts: Raw
    nr: bool
    fd: ShortFees | None = None
    mos: Raw = Raw()


class MarketOfToken(Struct):
    """``/markets-by-token/{token}``."""

    condition_id: str


class ResultToken(Struct):
    """A token of ``/markets/{condition}``."""

    token_id: str
    winner: bool = False
    price: Raw = Raw()


class MarketResult(Struct):
    """What ``/markets/{condition}`` says of the result."""

    condition_id: str
    closed: bool = False
    is_50_50_outcome: bool = False
    tokens: list[ResultToken] = []


class ApiKeyBody(Struct):
    """A new or derived API key."""

    apiKey: str  # noqa: N815
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return "ApiKeyBody(…)"


def amount(raw: Raw | str, what: str) -> int:
    """A number in millionths, cut below; 0 for none.

    Raises:
        BadAnswer: for anything but a plain number, or one out of range.
    """
    text = raw if isinstance(raw, str) else bytes(raw).decode("utf-8", "replace").strip().strip('"')
    if text in ("", "null"):
        return 0
    try:
        value = Fraction(text) if len(text) <= 40 and "/" not in text else None
    except ValueError:
        value = None
    if value is None or abs(value) * ONE > AMOUNT_MAX:
        raise BadAnswer(POLYMARKET, f"expected a number as {what}, was {clip(text, 40)!r}")
    return value.numerator * ONE // value.denominator


def moment(raw: Raw | str | None) -> int:
    """A moment in seconds, milliseconds or as ISO text, in nanoseconds; 0 for none or for noise."""
    text = raw if isinstance(raw, str) else bytes(raw or b"").decode("utf-8", "replace").strip().strip('"')
    if text.isdecimal() and text.isascii() and len(text) <= 19:
        return int(text) * 10 ** (9 if len(text) <= 10 else 6 if len(text) <= 13 else 0)
    try:
        return nanoseconds(text if text != "null" else "")
    except FrameError:
        return 0
