"""Binance's public frames and REST bodies as typed structs.

A frame comes bare or wrapped as ``{"stream":…,"data":…}``. ``bookTicker`` names neither its kind nor a time,
a partial book not even its symbol: that is in the stream's name alone.
Source: docs/reference/venue-facts.md, Binance streams; Binance books; Binance rate limits.
"""

from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct, field

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError, check_length

Symbol = Annotated[str, Meta(pattern=r"^[A-Z0-9]{2,20}\Z")]
Id = Annotated[int, Meta(ge=0, le=2**53)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**43)]
"""Until the year 2248; in nanoseconds it fits 63 bits. Microseconds (``timeUnit``) are not asked for."""
Text = Annotated[str, Meta(max_length=60)]
Rows = Annotated[list[tuple[Text, Text]], Meta(max_length=20_000)]


class Trade(Struct, gc=False):
    """One trade. ``m``: the buyer was the maker, so the seller took."""

    s: Symbol
    t: Id
    p: Text
    q: Text
    m: bool


class AggregateTrade(Struct, gc=False):
    """Trades of one order at one price, in one."""

    s: Symbol
    a: Id
    p: Text
    q: Text
    m: bool


class KlineBody(Struct, gc=False):
    """A candle as it stands; ``x``: it is closed."""

    t: Milliseconds
    i: Text
    o: Text
    c: Text
    h: Text
    l: Text  # noqa: E741 - the venue's name
    v: Text
    x: bool


class Kline(Struct, gc=False):
    """A candle, sent every two seconds."""

    s: Symbol
    k: KlineBody


class BookTicker(Struct, gc=False):
    """Best bid and ask with their sizes."""

    u: Id
    s: Symbol
    b: Text
    B: Text
    a: Text
    A: Text


class DepthUpdate(Struct, gc=False):
    """New sizes of levels, from update ``U`` to update ``u``."""

    s: Symbol
    U: Id
    u: Id
    b: Rows
    a: Rows


class Depth(Struct, gc=False):
    """A book: the REST snapshot, or a partial one of a stream."""

    lastUpdateId: Id  # noqa: N815 - the venue's name
    bids: Rows
    asks: Rows


class RestTrade(Struct, gc=False):
    """A trade in a REST answer."""

    id: Id
    price: Text
    qty: Text
    isBuyerMaker: bool  # noqa: N815 - the venue's name


class RestAggregateTrade(Struct, gc=False):
    """An aggregate trade in a REST answer; the symbol is in the request."""

    a: Id
    p: Text
    q: Text
    m: bool


class RestBookTicker(Struct, gc=False):
    """Best bid and ask in a REST answer."""

    symbol: Symbol
    bidPrice: Text  # noqa: N815 - the venue's name
    bidQty: Text  # noqa: N815
    askPrice: Text  # noqa: N815
    askQty: Text  # noqa: N815


KlineRow = tuple[Milliseconds, Text, Text, Text, Text, Text, Milliseconds, Text, int, Text, Text, Text]
"""Open time, open, high, low, close, volume, close time, and what is not used here."""


class ServerTime(Struct, gc=False):
    """``GET /time``."""

    serverTime: Milliseconds  # noqa: N815 - the venue's name


class Connected(NamedTuple):
    """A new connection."""


class Disconnected(NamedTuple):
    """The connection is lost."""


class BinanceAnswer(NamedTuple):
    """An answer to a command; ``error`` is empty when it worked."""

    error: str


class Partial(NamedTuple):
    """A partial book and its symbol."""

    symbol: str
    depth: Depth


class Rest(NamedTuple):
    """A REST answer with its question's ``symbol`` and ``interval`` ("" where it has none)."""

    name: str
    symbol: str
    interval: str
    body: Any


Frame = (
    Trade
    | AggregateTrade
    | Kline
    | BookTicker
    | DepthUpdate
    | Partial
    | Connected
    | Disconnected
    | BinanceAnswer
    | Rest
)


class _Query(Struct, gc=False):
    symbol: Symbol | None = None
    interval: Text = ""


class _Envelope(Struct, gc=False):
    stream: Text | None = None
    data: msgspec.Raw = msgspec.Raw()
    e: Text | None = None
    type: Text | None = None
    u: int | None = None
    code: int | None = None
    msg: Any = ""
    error: Any = None
    id: Any = None
    last_update_id: int | None = field(default=None, name="lastUpdateId")
    rest: Text | None = field(default=None, name="_rest")
    query: _Query | None = None
    body: msgspec.Raw = msgspec.Raw()


_envelope = msgspec.json.Decoder(_Envelope)
_KINDS: dict[str, msgspec.json.Decoder[Any]] = {
    "trade": msgspec.json.Decoder(Trade),
    "aggTrade": msgspec.json.Decoder(AggregateTrade),
    "kline": msgspec.json.Decoder(Kline),
    "depthUpdate": msgspec.json.Decoder(DepthUpdate),
}
_book_ticker = msgspec.json.Decoder(BookTicker)
_depth = msgspec.json.Decoder(Depth)
_BODIES: dict[str, msgspec.json.Decoder[Any]] = {
    "depth": _depth,
    "klines": msgspec.json.Decoder(Annotated[list[KlineRow], Meta(max_length=1_000)]),
    "trades": msgspec.json.Decoder(Annotated[list[RestTrade], Meta(max_length=1_000)]),
    "aggTrades": msgspec.json.Decoder(Annotated[list[RestAggregateTrade], Meta(max_length=1_000)]),
    "bookTicker": msgspec.json.Decoder(RestBookTicker),
}
_symbol = msgspec.json.Decoder(Symbol)


def decode(data: bytes) -> Frame | None:
    """Read one frame; ``None`` for a well-formed one of a kind that is not used here.

    Raises:
        FrameError: for anything that is not a frame of the protocol.
    """
    check_length(data)
    try:
        envelope = _envelope.decode(data)
        if envelope.rest is not None:
            return _rest(envelope)
        if envelope.stream is not None:
            inner = _envelope.decode(envelope.data)
            return _event(inner, bytes(envelope.data), envelope.stream)
        return _event(envelope, data, "")
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a Binance frame: {e}", 300)) from e


def _event(envelope: _Envelope, data: bytes, stream: str) -> Frame | None:
    """A frame without its wrapping."""
    kind = envelope.e
    if kind is not None:
        decoder = _KINDS.get(kind)
        if decoder is not None:
            frame: Frame = decoder.decode(data)
            return frame
        return None
    if envelope.type == "_ws_connected":
        return Connected()
    if envelope.type == "_ws_disconnected":
        return Disconnected()
    if envelope.u is not None:
        return _book_ticker.decode(data)
    if envelope.last_update_id is not None:
        return Partial(_symbol_of(stream), _depth.decode(data))
    if envelope.code is not None or envelope.error is not None:
        return BinanceAnswer(clip(f"{envelope.code} {envelope.msg or envelope.error}", 200))
    if envelope.id is not None:
        return BinanceAnswer("")
    raise FrameError("expected a Binance frame, was an object of no known form")


def _symbol_of(stream: str) -> str:
    name = stream.partition("@")[0].upper()
    return str(_symbol.decode(msgspec.json.encode(name)))


def _rest(envelope: _Envelope) -> Rest | None:
    decoder = _BODIES.get(envelope.rest or "")
    if decoder is None:
        return None
    query = envelope.query or _Query()
    body = decoder.decode(envelope.body)
    if query.symbol is None and envelope.rest != "bookTicker":
        raise FrameError(f"expected the symbol of {envelope.rest}, was none")
    return Rest(envelope.rest or "", query.symbol or body.symbol, query.interval, body)
