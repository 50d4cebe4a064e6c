"""The price to beat: what Chainlink said when an up-or-down window began.

Gamma does not give it when it lists a market. The tick at the very second of the start decides; the price
stream brings it, for newer markets as a mean (TWAP) over so many seconds. Checked on 292 recorded windows. Each
subscription begins with the last minute, so that a window that opened while the stream was away has its price too.
"""

from collections import OrderedDict
from typing import NamedTuple

import msgspec

from libs.bounded import clip
from libs.venues.frame import DECODE_ERRORS, FrameError
from libs.venues.polymarket.schemas import wire
from proto.units import AMOUNT_MAX, MILLISECOND, SECOND, UnitError, parse

TOPICS = {"crypto_prices_chainlink": 0, "crypto_prices_twap_thirty": 30, "crypto_prices_twap_sixty": 60}
"""Topics by the seconds they average over."""
SAMPLES_MAX = 8 * 3600
"""Ticks kept over all symbols: an hour of eight feeds, for markets that are found after they began."""
HISTORY_MAX = 3_600
"""Ticks taken of one history, the newest; the venue sends the last minute."""
_SCALED_DIGITS_MIN = 19
"""A value without a point and with so many digits is in units of 1e-18."""


_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def name_history(data: bytes, topic: str) -> bytes:
    """A frame of a connection that is subscribed to ``topic`` alone, its history under that name.

    The venue calls every history ``crypto_prices``, whatever it is of; any other frame is left as it is.
    """
    if b'"subscribe"' not in data:
        return data
    try:
        frame = _fields.decode(data)
    except DECODE_ERRORS:
        return data
    if bytes(frame.get("type", b"")) != b'"subscribe"' or "topic" not in frame:
        return data
    return msgspec.json.encode(frame | {"topic": topic})


class Sample(NamedTuple):
    """A tick: symbol, seconds it averages over, moment (ns), price (millionths)."""

    symbol: str
    average_s: int
    at: int
    price: int


class Strikes:
    """Remembers ticks by symbol, averaging time and second."""

    def __init__(self) -> None:
        self._ticks: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    def read(self, frame: wire.Price) -> list[Sample]:
        """The ticks of a frame, one or a history; none for a frame of no use.

        Raises:
            FrameError: for a price that is none.
        """
        average_s, payload = TOPICS.get(frame.topic), frame.payload
        if average_s is None or payload is None:
            return []
        symbol = payload.symbol.casefold().partition("/")[0]
        if frame.type == "subscribe":
            points = payload.data[-HISTORY_MAX:]
            return [
                Sample(symbol, average_s, p.timestamp * MILLISECOND, _price(_text(p.value))) for p in points
            ]
        if frame.type != "update" or not payload.timestamp:
            return []
        text = payload.full_accuracy_value or _text(payload.value)
        return [Sample(symbol, average_s, payload.timestamp * MILLISECOND, _price(text))]

    def add(self, sample: Sample, *, past: bool = False) -> None:
        """Remember a tick; a second one for the same moment is the feed's correction, but not one of its ``past``."""
        key = (sample.symbol, sample.average_s, sample.at)
        if not past:
            self._ticks[key] = sample.price
        else:
            # The history has floats, the tick itself all its digits.
            self._ticks.setdefault(key, sample.price)
        if len(self._ticks) > SAMPLES_MAX:
            self._ticks.popitem(last=False)

    def of(self, symbol: str, average_s: int, open_at: int) -> int | None:
        """The price to beat of a window that began then; ``None`` while it is not known."""
        if not symbol:
            return None
        return self._ticks.get((symbol, average_s, open_at - open_at % SECOND))


def _text(value: msgspec.Raw) -> str:
    """A number's own digits, from a JSON number or string."""
    return bytes(value).decode("utf-8", "replace").strip().strip('"')


def _price(text: str) -> int:
    """A price in millionths; digits beyond are cut.

    Raises:
        FrameError: for anything else.
    """
    if text.isdecimal() and text.isascii() and len(text) >= _SCALED_DIGITS_MIN:
        value = int(text[:60]) // 10**12
    else:
        whole, _, fraction = text.partition(".")
        try:
            value = parse(f"{whole}.{fraction[:6]}")
        except UnitError as e:
            raise FrameError(f"expected a price: {e}") from e
    if not 0 < value <= AMOUNT_MAX:
        raise FrameError(f"expected a price above 0, was {clip(text, 40)!r}")
    return value
