"""Polymarket's market channel, price stream and REST bodies as typed structs, and the function that reads them.

A market frame is an object or an array of them; numbers are strings and may be "". REST bodies reach the
normaliser as ``{"_rest":"<name>","body":…}``.
Source: docs/reference/venue-facts.md, Polymarket market data; Polymarket markets; Polymarket market channel;
Polymarket price streams.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError, check_length

PONG = b"PONG"

Token = Annotated[str, Meta(pattern=r"^[0-9]{1,78}\Z")]
Condition = Annotated[str, Meta(pattern=r"^0x[0-9a-fA-F]{1,64}\Z")]
Decimal = Annotated[str, Meta(pattern=r"^[0-9]{0,15}(\.[0-9]{0,18})?\Z")]
"""A plain number, or nothing at all."""
Milliseconds = Annotated[str, Meta(pattern=r"^[0-9]{0,16}\Z")]
Digest = Annotated[str, Meta(max_length=80)]


class LevelRow(Struct, gc=False):
    """One level of a book: all that rests at a price."""

    price: Decimal
    size: Decimal


class BookEvent(Struct, gc=False, tag_field="event_type", tag="book"):
    """A whole book. Bids rise, asks fall: the best is the last of each."""

    asset_id: Token
    market: Condition
    bids: list[LevelRow] = []
    asks: list[LevelRow] = []
    timestamp: Milliseconds = ""
    hash: Digest = ""
    tick_size: Decimal | None = None
    last_trade_price: Decimal | None = None


class LevelChange(Struct, gc=False):
    """``size`` is what rests at the price now, 0 for nothing. ``hash`` is of the book after the whole batch."""

    asset_id: Token
    price: Decimal
    size: Decimal
    side: Literal["BUY", "SELL"]
    hash: Digest = ""
    best_bid: str = ""
    best_ask: str = ""


class PriceChange(Struct, gc=False, tag_field="event_type", tag="price_change"):
    """Levels changed. Changes with one timestamp are one event at the venue, over several frames or not."""

    market: Condition
    price_changes: list[LevelChange]
    timestamp: Milliseconds = ""


class LastTrade(Struct, gc=False, tag_field="event_type", tag="last_trade_price"):
    """A trade; ``side`` is the taker's."""

    asset_id: Token
    market: Condition
    price: Decimal
    size: Decimal = ""
    side: Literal["BUY", "SELL", ""] = ""
    timestamp: Milliseconds = ""
    transaction_hash: Annotated[str, Meta(max_length=80)] | None = ""


class TickSizeChange(Struct, gc=False, tag_field="event_type", tag="tick_size_change"):
    """The market's tick changed, as it does near the edges of the price range."""

    asset_id: Token
    market: Condition
    new_tick_size: Decimal
    old_tick_size: str = ""
    timestamp: Milliseconds = ""


class BestBidAsk(Struct, gc=False, tag_field="event_type", tag="best_bid_ask"):
    """The top of a book, as the venue sees it."""

    asset_id: Token
    market: Condition
    best_bid: str = ""
    best_ask: str = ""
    timestamp: Milliseconds = ""


class NewMarket(Struct, gc=False, tag_field="event_type", tag="new_market"):
    """Some market was listed; these come for all markets, and discovery brings what is wanted of them.

    Nothing of it is read: a new one need not have a condition yet.
    """


class MarketResolved(Struct, gc=False, tag_field="event_type", tag="market_resolved"):
    """Some market was resolved; these come for all markets. No winner means that all outcomes share."""

    market: str | None = ""
    winning_asset_id: str | None = ""
    winning_outcome: str | None = ""
    timestamp: Milliseconds = ""


Event = BookEvent | PriceChange | LastTrade | TickSizeChange | BestBidAsk | NewMarket | MarketResolved


class ClobBook(Struct, gc=False, tag_field="_rest", tag="clob_book"):
    """Body of ``/book``."""

    class Body(Struct, gc=False):
        """A whole book with what its hash covers."""

        asset_id: Token
        market: Condition
        bids: list[LevelRow] = []
        asks: list[LevelRow] = []
        timestamp: Milliseconds = ""
        hash: Digest = ""
        min_order_size: Decimal | None = None
        tick_size: Decimal | None = None
        neg_risk: bool | None = None
        last_trade_price: Decimal | None = None

    body: Body


class GammaPage(Struct, gc=False):
    """One page of markets or events; keyset pages carry a cursor, offset pages are plain arrays."""

    markets: list[msgspec.Raw] = []
    events: list[msgspec.Raw] = []


class GammaMarkets(Struct, gc=False, tag_field="_rest", tag="gamma_markets"):
    """Answer of Gamma's ``/markets`` or ``/markets/keyset``."""

    body: list[msgspec.Raw] | GammaPage


class GammaEvents(Struct, gc=False, tag_field="_rest", tag="gamma_events"):
    """Answer of Gamma's ``/events`` or ``/events/keyset``."""

    body: list[msgspec.Raw] | GammaPage


class ClobToken(Struct, gc=False):
    """A token of a CLOB market."""

    token_id: str
    outcome: str = ""
    winner: bool = False


class ClobMarket(Struct, gc=False, tag_field="_rest", tag="clob_market"):
    """Body of the CLOB's ``/markets/{condition}``: the fallback for a result that Gamma does not give."""

    class Body(Struct, gc=False):
        """What is used of it."""

        condition_id: Condition
        closed: bool = False
        is_50_50_outcome: bool = False
        tokens: list[ClobToken] = []

    body: Body


Rest = ClobBook | GammaMarkets | GammaEvents | ClobMarket


class PricePoint(Struct, gc=False):
    """One value of a price feed's recent past."""

    timestamp: Annotated[int, Meta(ge=0, le=2**43)]
    value: msgspec.Raw


class PricePayload(Struct, gc=False):
    """One value of a price feed; ``full_accuracy_value`` exact where it is given. The first frame has ``data``."""

    symbol: Annotated[str, Meta(max_length=40)] = ""
    timestamp: Annotated[int, Meta(ge=0, le=2**43)] = 0
    value: msgspec.Raw = msgspec.Raw()
    full_accuracy_value: Annotated[str, Meta(max_length=60)] | None = None
    data: list[PricePoint] = []


class Price(Struct, gc=False):
    """A frame of the price stream (RTDS)."""

    topic: Annotated[str, Meta(max_length=60)]
    type: Annotated[str, Meta(max_length=40)] = ""
    payload: PricePayload | None = None


class Connected(Struct, gc=False, tag_field="type", tag="_ws_connected"):
    """A new connection: every book comes anew."""


class Disconnected(Struct, gc=False, tag_field="type", tag="_ws_disconnected"):
    """The connection is lost: no book can be trusted."""


Frame = Event | Rest | Price | Connected | Disconnected

_KINDS = "book price_change last_trade_price tick_size_change best_bid_ask new_market market_resolved".split()
_RESTS = "clob_book gamma_markets gamma_events clob_market".split()


class _Envelope(Struct, gc=False):
    event_type: str | None = None
    rest: str | None = msgspec.field(name="_rest", default=None)
    topic: str | None = None
    type: str | None = None


_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_events: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])
_raws: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_envelope: msgspec.json.Decoder[_Envelope] = msgspec.json.Decoder(_Envelope)
_rest: msgspec.json.Decoder[Rest] = msgspec.json.Decoder(Rest)
_price: msgspec.json.Decoder[Price] = msgspec.json.Decoder(Price)
_connection: msgspec.json.Decoder[Connected | Disconnected] = msgspec.json.Decoder(Connected | Disconnected)


def decode(data: bytes) -> list[Frame | None]:
    """Read one frame: its events in order, ``None`` for a well-formed one that is not used here.

    Raises:
        FrameError: for anything that is not a frame of the protocol, in whole or in part.
    """
    check_length(data)
    if data == PONG:
        return []
    try:
        if data[:1] == b"[":
            return list(_events.decode(data))
        return [_event.decode(data)]
    except DECODE_ERRORS:
        pass
    try:
        parts: list[msgspec.Raw | bytes] = list(_raws.decode(data)) if data[:1] == b"[" else [data]
        return [_decode_other(part) for part in parts]
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a Polymarket frame: {e}", 300)) from e


def _decode_other(data: msgspec.Raw | bytes) -> Frame | None:
    """Read one object of any kind."""
    kind = _envelope.decode(data)
    if kind.event_type is not None:
        return _event.decode(data) if kind.event_type in _KINDS else None
    if kind.rest is not None:
        return _rest.decode(data) if kind.rest in _RESTS else None
    if kind.topic is not None:
        return _price.decode(data) if kind.type in ("update", "subscribe") else None
    if kind.type in ("_ws_connected", "_ws_disconnected"):
        return _connection.decode(data)
    if kind.type is not None:
        return None
    raise FrameError("expected a frame with event_type, topic or type, was one with none")
