"""The feed's own frames: what is no venue's word and yet must be in a recording, so that it plays back alike.

``_setup`` says with which parameters a venue is read, ``_tick`` that time has passed, ``_resend`` that everything is
to be told again, ``_stale`` that nobody vouches for a market's books, ``_no_past`` that an instrument's past is
not to be had. Their source is ``feed``. A connection's
beginning and end come under the venue's own name, in the form its normaliser reads.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError

FEED = "feed"
"""The source of the feed's own frames."""

TICK = b'{"type":"_tick"}'
RESEND = b'{"type":"_resend"}'
CONNECTED = b'{"type":"_ws_connected","msg":{}}'
DISCONNECTED = b'{"type":"_ws_disconnected","msg":{}}'

Text = Annotated[str, Meta(min_length=1, max_length=200)]


class Tick(Struct, tag_field="type", tag="_tick", gc=False):
    """Time has passed: books that waited for their turn go out, markets open and close."""


class Resend(Struct, tag_field="type", tag="_resend", gc=False):
    """What was published may be lost: everything is told again."""


class SetupBody(Struct, gc=False):
    """``params`` are the venue's section of the configuration; it holds no secret."""

    venue: Text
    params: dict[str, Any]


class Setup(Struct, tag_field="type", tag="_setup", gc=False):
    """A venue is read from here on with these parameters. Said again, it changes nothing."""

    msg: SetupBody


class StaleBody(Struct, gc=False):
    """``market`` as it is named on the tape (``kalshi:T``)."""

    venue: Text
    market: Text
    reason: Text


class Stale(Struct, tag_field="type", tag="_stale", gc=False):
    """A market's books have been without proof of continuity for too long."""

    msg: StaleBody


class NoPastBody(Struct, gc=False):
    """``instrument`` as it is named on the tape (``binance:BTCUSDT``)."""

    venue: Text
    instrument: Text
    reason: Text


class NoPast(Struct, tag_field="type", tag="_no_past", gc=False):
    """The prices of before the start were asked for, and the venue did not give them."""

    msg: NoPastBody


Control = Tick | Resend | Stale | Setup | NoPast

_decoder: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


def decode(data: bytes) -> Control:
    """Read a frame of the feed's own.

    Raises:
        FrameError: for anything else.
    """
    try:
        return _decoder.decode(data)
    except DECODE_ERRORS as e:
        raise FrameError(clip(f"expected a frame of the feed's own: {e}", 300)) from e


def stale(venue: str, market: str, reason: str) -> bytes:
    """The frame that says that a market's books are not vouched for."""
    return msgspec.json.encode(Stale(StaleBody(venue, market, reason)))


def no_past(venue: str, instrument: str, reason: str) -> bytes:
    """The frame that says that an instrument's past is not to be had."""
    return msgspec.json.encode(NoPast(NoPastBody(venue, instrument, reason or "no reason given")))


def setup(venue: str, params: dict[str, Any]) -> bytes:
    """The frame that says with which parameters a venue is read."""
    return msgspec.json.encode(Setup(SetupBody(venue, params)))
