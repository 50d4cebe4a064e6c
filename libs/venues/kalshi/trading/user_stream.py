"""The account's own websocket: fills and orders. It has no sequence numbers: a pause is a loss."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError
from libs.venues.kalshi.schemas import answers as rest
from libs.venues.kalshi.schemas.wire import Ticker

CHANNELS = ("fill", "user_orders")
"""``market_positions`` is left out: the other two and the balance contain all of it."""
KEEPALIVE = '{"id":1000000,"cmd":"list_subscriptions"}'
"""Answered by a frame: an account that does not trade has a silent stream, a dead one is silent too."""
KEEPALIVE_EVERY_S = 10.0
SILENCE_S = 25.0
"""Two keepalives unanswered: the stream is not trusted any more."""
Word = Annotated[str, Meta(max_length=120)]


class UserFillBody(Struct, gc=False):
    """A fill. What a frame of before October 2026 lacks, its fee above all, is asked for by REST."""

    trade_id: Word
    order_id: Word
    market_ticker: Ticker
    client_order_id: Word | None = None
    book_side: Word | None = None
    outcome_side: Word | None = None
    count_fp: Word | None = None
    yes_price_dollars: Word | None = None
    fee_cost: Word | None = None
    is_taker: bool | None = None
    ts_ms: Annotated[int, Meta(ge=0, le=2**43)] | None = None


class UserFill(Struct, gc=False, tag_field="type", tag="fill"):
    """One of our orders met another."""

    msg: UserFillBody


class UserOrderBody(Struct, gc=False):
    """An order as it stands. ``is_yes`` and ``side`` give the outcome it is positioned for."""

    order_id: Word
    ticker: Ticker
    status: Word
    yes_price_dollars: Word
    initial_count_fp: Word
    fill_count_fp: Word
    remaining_count_fp: Word
    client_order_id: Word | None = ""
    side: Word | None = None
    outcome_side: Word | None = None
    created_ts_ms: int | None = None
    last_updated_ts_ms: int | None = None


class UserOrder(Struct, gc=False, tag_field="type", tag="user_order"):
    """One of our orders was placed, changed, filled or canceled."""

    msg: UserOrderBody


class UserSubscribedBody(Struct, gc=False):
    """A channel that is on from now."""

    channel: Word


class UserSubscribed(Struct, gc=False, tag_field="type", tag="subscribed"):
    """Answer to ``subscribe``, one a channel."""

    msg: UserSubscribedBody


class UserErrorBody(Struct, gc=False):
    """The venue's own number and words."""

    code: int = 0
    msg: str = ""


class UserError(Struct, gc=False, tag_field="type", tag="error"):
    """A command was refused."""

    msg: UserErrorBody


UserFrame = UserFill | UserOrder | UserSubscribed | UserError
_decoder: msgspec.json.Decoder[UserFrame] = msgspec.json.Decoder(UserFrame)


class _Envelope(Struct, gc=False):
    type: str


def subscribe() -> list[bytes]:
    """The command a connection begins with: all markets of the account."""
    params = {"channels": list(CHANNELS)}
    return [msgspec.json.encode({"id": 1, "cmd": "subscribe", "params": params})]


def decode(data: bytes) -> UserFrame | None:
    """Read a frame; ``None`` for a well-formed one of a type not used here.

    Raises:
        FrameError: for anything that is not a frame of the protocol.
    """
    try:
        return _decoder.decode(data)
    except DECODE_ERRORS as e:
        error = e
    try:
        kind = msgspec.json.decode(data, type=_Envelope).type
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a Kalshi frame: {e}", 300)) from e
    if kind in ("fill", "user_order", "subscribed", "error"):
        raise FrameError(clip(f"{kind}: {error}", 300)) from error
    return None


def as_fill(body: UserFillBody) -> rest.Fill | None:
    """The fill of a frame in the shape REST gives it; ``None`` for a frame that does not tell all of it."""
    has_side = body.book_side is not None or body.outcome_side is not None
    if (
        not has_side
        or body.count_fp is None
        or body.yes_price_dollars is None
        or body.fee_cost is None
        or body.is_taker is None
        or body.ts_ms is None
    ):
        return None
    return rest.Fill(
        trade_id=body.trade_id,
        order_id=body.order_id,
        count_fp=body.count_fp,
        yes_price_dollars=body.yes_price_dollars,
        is_taker=body.is_taker,
        ticker=body.market_ticker,
        client_order_id=body.client_order_id,
        book_side=body.book_side,
        outcome_side=body.outcome_side,
        fee_cost=body.fee_cost,
        created_time=datetime.fromtimestamp(body.ts_ms // 1_000, UTC)
        + timedelta(milliseconds=body.ts_ms % 1_000),
    )


def as_order(body: UserOrderBody) -> rest.Order:
    """The order of a frame in the shape REST gives it; ``side`` is what it is positioned for."""
    return rest.Order(
        order_id=body.order_id,
        ticker=body.ticker,
        status=body.status,
        yes_price_dollars=body.yes_price_dollars,
        initial_count_fp=body.initial_count_fp,
        fill_count_fp=body.fill_count_fp,
        remaining_count_fp=body.remaining_count_fp,
        client_order_id=body.client_order_id,
        outcome_side=body.outcome_side or body.side,
    )
