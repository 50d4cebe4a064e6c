"""Raw Coinbase ``match`` frames to feed trades.

Pure: time comes with the frames. Trade ids rise by one a product, which shows repetitions (Coinbase
repeats the last trade after each connect, as ``last_match``) and losses. A lost trade of a reference
price needs no healing, the next one tells the price, so losses are only counted.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from libs.venues.frame import FRAME_BYTES_MAX, FrameError
from proto.feed import Side, Trade
from proto.message import Message
from proto.units import AMOUNT_MAX, UnitError, parse

VENUE = "coinbase"
PRODUCTS_MAX = 1_000
"""Coinbase lists some hundreds of products; more means that the names are garbage."""
SIZE_DECIMALS_MAX = 6
"""Sizes carry eight decimals; what is finer than a millionth of a coin is cut off."""


class _Match(Struct, gc=False):
    product_id: Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,20}-[A-Z0-9]{1,20}\Z")]
    price: str
    trade_id: Annotated[int, Meta(ge=1, le=2**53)]
    size: str = "0"
    side: Literal["buy", "sell"] | None = None


class _Envelope(Struct, gc=False):
    type: str


_match = msgspec.json.Decoder(_Match)
_envelope = msgspec.json.Decoder(_Envelope)
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)
# Coinbase names the side of the maker's resting order; the taker is on the other.
_AGGRESSOR = {"buy": Side.SELL, "sell": Side.BUY, None: None}


class CoinbaseNormaliser:
    """Normalises the frames of one Coinbase connection, or of a recording.

    Counters: ``frames`` read, ``unused`` of a type not used here, ``old`` repeated trades, ``missed``
    trades that were never seen.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.unused = 0
        self.old = 0
        self.missed = 0
        self._last: dict[str, int] = {}

    def normalise(self, data: bytes, at: int) -> list[Message]:
        """Read one frame received at ``at`` (ns).

        A recording without sizes gives trades of quantity 0: the price is what they are kept for.

        Raises:
            FrameError: for a frame that is not of the protocol; nothing has changed then.
        """
        if len(data) > FRAME_BYTES_MAX:
            raise FrameError(f"expected a frame of at most {FRAME_BYTES_MAX} bytes, was {len(data)}")
        try:
            kind = _envelope.decode(data).type
            match = _match.decode(data) if kind in ("match", "last_match") else None
        except _DECODE_ERRORS as e:
            raise FrameError(f"expected a Coinbase frame: {e}"[:300]) from e
        if match is None:
            self.frames += 1
            self.unused += 1
            return []
        trade = _trade(match, at)
        product = match.product_id
        last = self._last.get(product)
        if last is None and len(self._last) >= PRODUCTS_MAX:
            raise FrameError(f"expected at most {PRODUCTS_MAX} products, was {product} too")
        self.frames += 1
        if last is not None and match.trade_id <= last and kind == "last_match":
            self.old += 1
            return []
        if last is not None and match.trade_id > last + 1:
            self.missed += match.trade_id - last - 1
        self._last[product] = match.trade_id
        return [trade]

    def tick(self, at: int) -> list[Message]:  # noqa: ARG002 - the port's signature
        """Time alone brings nothing."""
        return []

    def resend(self, at: int) -> list[Message]:  # noqa: ARG002 - the port's signature
        """The next trade tells the price."""
        return []

    def commands(self, at: int) -> list[bytes]:  # noqa: ARG002 - the port's signature
        """Nothing is ever asked for."""
        return []

    def distrust(self, market: str, at: int, reason: str) -> list[Message]:  # noqa: ARG002 - the port's signature
        """There is no book to drop."""
        return []


def _trade(match: _Match, at: int) -> Trade:
    whole, _, fraction = match.size.partition(".")
    # Only digits are cut off: anything else must fail in parse().
    if fraction.isdecimal():
        fraction = fraction[:SIZE_DECIMALS_MAX]
    try:
        price, quantity = parse(match.price), parse(f"{whole}.{fraction}")
    except UnitError as e:
        raise FrameError(str(e)) from e
    if not 0 < price <= AMOUNT_MAX or quantity < 0:
        raise FrameError(f"expected a positive price, was {match.price[:40]!r} for {match.size[:40]!r}")
    return Trade(
        instrument=f"{VENUE}:{match.product_id}",
        at=at,
        trade_id=str(match.trade_id),
        price=price,
        quantity=quantity,
        aggressor=_AGGRESSOR[match.side],
    )
