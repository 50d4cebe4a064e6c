"""Kalshi's websocket frames as typed structs, and the one function that reads them.

The recorder's own frames (their type starts with ``_``) are part of the format: a recording and a live
connection are read by the same code. Prices and counts are decimal strings on the wire.
"""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError, check_length

# Far above what a connection can count up to, and exact in every JSON reader.
SEQUENCE_MAX = 2**53
# Seconds: the year 2242. In nanoseconds it still fits 63 bits.
TIMESTAMP_MAX_S = 2**33

Ticker = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,80}\Z")]
Sequence = Annotated[int, Meta(ge=1, le=SEQUENCE_MAX)]
Sid = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
Timestamp = Annotated[int, Meta(ge=0, le=TIMESTAMP_MAX_S)]
Moment = Annotated[datetime, Meta(tz=True)]
Side = Literal["yes", "no"]
Level = tuple[str, str]


class DeltaBody(Struct, gc=False):
    """A level changed by ``delta_fp`` contracts. The price is in the space of its own side."""

    market_ticker: str
    price_dollars: str
    delta_fp: str
    side: Side


class Delta(Struct, gc=False, tag_field="type", tag="orderbook_delta"):
    """A change of one level."""

    seq: Sequence
    msg: DeltaBody
    sid: Sid = 0


class SnapshotBody(Struct, gc=False):
    """The whole book, bids of both sides. Both sides are missing once a market has closed."""

    market_ticker: Ticker
    yes_dollars_fp: list[Level] = []
    no_dollars_fp: list[Level] = []


class Snapshot(Struct, gc=False, tag_field="type", tag="orderbook_snapshot"):
    """A whole book; it starts a subscription, and answers ``get_snapshot``."""

    seq: Sequence
    msg: SnapshotBody
    sid: Sid = 0


class TradeBody(Struct, gc=False):
    """A trade; the taker's outcome is ``taker_outcome_side``, on older servers ``taker_side``."""

    market_ticker: Ticker
    trade_id: Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[!-~]+\Z")]
    yes_price_dollars: str
    count_fp: str
    taker_outcome_side: Side | None = None
    taker_side: Side | None = None
    is_block_trade: bool = False


class Trade(Struct, gc=False, tag_field="type", tag="trade"):
    """A public trade."""

    msg: TradeBody
    sid: Sid = 0


class TickerBody(Struct, gc=False):
    """Best prices as the venue sees them; 0 and 1 stand for an empty side."""

    market_ticker: str
    yes_bid_dollars: str | None = None
    yes_ask_dollars: str | None = None


class TickerFrame(Struct, gc=False, tag_field="type", tag="ticker"):
    """The venue's summary of a market, about once a second. It lags the book."""

    msg: TickerBody
    sid: Sid = 0


class Metadata(Struct, gc=False):
    """What a listing adds; strikes are kept as their JSON text, to be read exactly."""

    title: str | None = None
    event_ticker: str | None = None
    expected_expiration_ts: Timestamp | None = None
    strike_type: str | None = None
    floor_strike: msgspec.Raw = msgspec.Raw()
    cap_strike: msgspec.Raw = msgspec.Raw()


class PriceRange(Struct, gc=False):
    """From ``start`` to ``end`` a YES price is a multiple of ``step``, all in dollars."""

    start: Annotated[str, Meta(max_length=40)]
    end: Annotated[str, Meta(max_length=40)]
    step: Annotated[str, Meta(max_length=40)]


class LifecycleBody(Struct, gc=False):
    """An event in a market's life; times in seconds."""

    market_ticker: Ticker
    event_type: str
    open_ts: Timestamp | None = None
    close_ts: Timestamp | None = None
    result: Annotated[str, Meta(max_length=20, pattern=r"^[a-z_]*\Z")] | None = None
    price_level_structure: str | None = None
    price_ranges: list[PriceRange] | None = None
    strike_type: str | None = None
    floor_strike: msgspec.Raw = msgspec.Raw()
    cap_strike: msgspec.Raw = msgspec.Raw()
    settlement_value: str | None = None
    additional_metadata: Metadata | None = None


class Lifecycle(Struct, gc=False, tag_field="type", tag="market_lifecycle_v2"):
    """A market was listed, opened, paused, closed, determined or settled."""

    msg: LifecycleBody
    sid: Sid = 0
    seq: Sequence | None = None


class EventFeeBody(Struct, gc=False):
    """Fees of an event that replace its series'; both ``None`` when they do so no more."""

    event_ticker: Ticker
    fee_type_override: Annotated[str, Meta(max_length=80)] | None = None
    fee_multiplier_override: msgspec.Raw = msgspec.Raw()


class EventFee(Struct, gc=False, tag_field="type", tag="event_fee_update"):
    """The fees of an event changed; it comes on the lifecycle channel."""

    msg: EventFeeBody
    sid: Sid = 0
    seq: Sequence | None = None


class SubscribedBody(Struct, gc=False):
    """The subscription number of a channel."""

    channel: str
    sid: Sid


class Subscribed(Struct, gc=False, tag_field="type", tag="subscribed"):
    """Answer to ``subscribe``, one a channel."""

    msg: SubscribedBody


class Ok(Struct, gc=False, tag_field="type", tag="ok"):
    """Answer to ``update_subscription``; it takes a number in its subscription's sequence."""

    sid: Sid = 0
    seq: Sequence | None = None


class Unsubscribed(Struct, gc=False, tag_field="type", tag="unsubscribed"):
    """Answer to ``unsubscribe``; numbered like ``ok``."""

    sid: Sid = 0
    seq: Sequence | None = None


class ErrorBody(Struct, gc=False):
    """The venue's own number and words."""

    code: int = 0
    msg: str = ""


class Error(Struct, gc=False, tag_field="type", tag="error"):
    """The venue refused a command, of which it says the ``id``."""

    msg: ErrorBody
    id: int = 0


class WatchBody(Struct, gc=False):
    """Facts of the market the recorder follows."""

    market_ticker: Ticker
    close_time: Moment
    strike: msgspec.Raw = msgspec.Raw()
    status: str = "active"


class WatchMarket(Struct, gc=False, tag_field="type", tag="_watch_market"):
    """The recorder's note of a market's strike and close, taken from the REST interface."""

    msg: WatchBody


class ConnectedBody(Struct, gc=False):
    """How the connection was subscribed: ``use_yes_price`` puts levels of the NO side in YES prices."""

    use_yes_price: bool = False


class Connected(Struct, gc=False, tag_field="type", tag="_ws_connected"):
    """A new connection: subscriptions and their sequences start again."""

    msg: ConnectedBody = msgspec.field(default_factory=ConnectedBody)


class Disconnected(Struct, gc=False, tag_field="type", tag="_ws_disconnected"):
    """The connection is lost: no book can be trusted until the next one."""


class Rotated(Struct, gc=False, tag_field="type", tag="_market_rotated"):
    """The recorder went to the next market; the connection that follows says the rest."""


Frame = (
    Delta
    | Snapshot
    | Trade
    | TickerFrame
    | Lifecycle
    | EventFee
    | Subscribed
    | Ok
    | Unsubscribed
    | Error
    | WatchMarket
    | Connected
    | Disconnected
    | Rotated
)

_READABLE = (
    "orderbook_delta orderbook_snapshot trade ticker market_lifecycle_v2 event_fee_update subscribed ok unsubscribed error"
    " _watch_market _ws_connected _ws_disconnected _market_rotated"
).split()


class _Envelope(Struct, gc=False):
    type: str


_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)
_envelope: msgspec.json.Decoder[_Envelope] = msgspec.json.Decoder(_Envelope)


def decode(data: bytes) -> Frame | None:
    """Read one frame; ``None`` for a well-formed frame of a type that is not used here.

    Raises:
        FrameError: for anything that is not a frame of the protocol.
    """
    check_length(data)
    try:
        return _decoder.decode(data)
    except DECODE_ERRORS as e:
        error = e
    try:
        kind = _envelope.decode(data).type
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a Kalshi frame: {e}", 300)) from e
    if kind in _READABLE:
        raise FrameError(clip(f"{kind}: {error}", 300)) from error
    return None
