"""Coinbase Exchange's public frames and REST bodies as typed structs.

Source: docs/reference/venue-facts.md, Coinbase channels; Coinbase candles.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct, field

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError, check_length

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Product = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}\Z")]
TradeId = Annotated[int, Meta(ge=1, le=2**53)]
Text = Annotated[str, Meta(max_length=60)]
Taker = Literal["buy", "sell"]
Rows = Annotated[list[tuple[Text, Text]], Meta(max_length=20_000)]


class Match(Struct, gc=False):
    """A trade. ``side`` is that of the maker's resting order."""

    product_id: Product
    price: str
    trade_id: TradeId
    size: str = "0"
    side: Taker | None = None
    type: str = ""


class Ticker(Struct, gc=False):
    """Best prices after a trade; older recordings have no sizes."""

    product_id: Product
    best_bid: Text = "0"
    best_ask: Text = "0"
    best_bid_size: Text = "0"
    best_ask_size: Text = "0"


class Snapshot(Struct, gc=False):
    """The whole book, at the start of ``level2_batch``."""

    product_id: Product
    bids: Rows
    asks: Rows


class Update(Struct, gc=False):
    """New sizes of levels: side, price, size."""

    product_id: Product
    changes: Annotated[list[tuple[Taker, Text, Text]], Meta(max_length=20_000)]


class Heartbeat(Struct, gc=False):
    """Once a second: the number of the newest trade."""

    product_id: Product
    last_trade_id: Annotated[int, Meta(ge=0, le=2**53)] = 0


class Error(Struct, gc=False):
    """The venue refused a command."""

    message: str = ""
    reason: str = ""


class RestTrade(Struct, gc=False):
    """A trade in a REST answer, newest first."""

    trade_id: TradeId
    price: Text
    size: Text
    side: Taker


class PastTrade(RestTrade, gc=False):
    """A trade of before the start, with the venue's time of it."""

    time: Text


class RestTicker(Struct, gc=False):
    """Best prices in a REST answer."""

    bid: Text
    ask: Text


CandleRow = Annotated[list[msgspec.Raw], Meta(min_length=6, max_length=6)]
"""Start (s), low, high, open, close, volume: JSON numbers, kept as their text to be read exactly."""


class ServerTime(Struct, gc=False):
    """``GET /time``: seconds with a fraction."""

    epoch: float


class Connected(NamedTuple):
    """A new connection."""


class Disconnected(NamedTuple):
    """The connection is lost."""


class Rest(NamedTuple):
    """A REST answer with its question's product and length of candles (0 where it has none)."""

    name: str
    product: str
    granularity_s: int
    body: Any


Frame = Match | Ticker | Snapshot | Update | Heartbeat | Error | Connected | Disconnected | Rest


class _Query(Struct, gc=False):
    product: Product
    granularity: Annotated[str, Meta(pattern=r"^[0-9]{1,6}\Z")] = "0"


class _Envelope(Struct, gc=False):
    type: str = ""
    rest: Text | None = field(default=None, name="_rest")
    query: _Query | None = None
    body: msgspec.Raw = msgspec.Raw()


_envelope = msgspec.json.Decoder(_Envelope)
_match = msgspec.json.Decoder(Match)
_KINDS: dict[str, msgspec.json.Decoder[Any]] = {
    "match": _match,
    "last_match": _match,
    "ticker": msgspec.json.Decoder(Ticker),
    "snapshot": msgspec.json.Decoder(Snapshot),
    "l2update": msgspec.json.Decoder(Update),
    "heartbeat": msgspec.json.Decoder(Heartbeat),
    "error": msgspec.json.Decoder(Error),
}
_BODIES: dict[str, msgspec.json.Decoder[Any]] = {
    "candles": msgspec.json.Decoder(Annotated[list[CandleRow], Meta(max_length=1_000)]),
    "past_trades": msgspec.json.Decoder(Annotated[list[PastTrade], Meta(max_length=1_000)]),
    "trades": msgspec.json.Decoder(Annotated[list[RestTrade], Meta(max_length=1_000)]),
    "ticker": msgspec.json.Decoder(RestTicker),
}


def time_ns(text: str) -> int:
    """A time such as ``2026-12-01T11:43:18.123456Z`` in nanoseconds since 1970.

    Raises:
        FrameError: for anything else, also for one without a zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise FrameError(f"expected a time, was {clip(text, 40)!r}") from e
    if moment.tzinfo is None or moment < EPOCH:
        raise FrameError(f"expected a time with its zone, after 1970, was {clip(text, 40)!r}")
    return (moment - EPOCH) // timedelta(microseconds=1) * 1_000


def decode(data: bytes) -> Frame | None:
    """Read one frame; ``None`` for a well-formed one of a type that is not used here.

    Raises:
        FrameError: for anything that is not a frame of the protocol.
    """
    check_length(data)
    try:
        envelope = _envelope.decode(data)
        if envelope.rest is not None:
            return _rest(envelope)
        decoder = _KINDS.get(envelope.type)
        if decoder is not None:
            frame: Frame = decoder.decode(data)
            return frame
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a Coinbase frame: {e}", 300)) from e
    if envelope.type == "_ws_connected":
        return Connected()
    if envelope.type == "_ws_disconnected":
        return Disconnected()
    if not envelope.type:
        raise FrameError("expected a Coinbase frame, was an object without a type")
    return None


def _rest(envelope: _Envelope) -> Rest | None:
    decoder = _BODIES.get(envelope.rest or "")
    if decoder is None:
        return None
    if envelope.query is None:
        raise FrameError(f"expected the product of {envelope.rest}, was none")
    query = envelope.query
    return Rest(envelope.rest or "", query.product, int(query.granularity), decoder.decode(envelope.body))
