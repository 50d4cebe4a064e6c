"""The price to beat: what Chainlink said when an up-or-down window began.

Gamma does not give it when it lists a market. The tick at the very second of the start decides; the price
stream brings it, for newer markets as a mean (TWAP) over so many seconds. Checked on 292 recorded windows.
"""

from collections import OrderedDict

from libs.venues.frame import FrameError
from libs.venues.polymarket import wire
from proto.units import AMOUNT_MAX, MILLISECOND, SECOND, UnitError, parse

TOPICS = {"crypto_prices_chainlink": 0, "crypto_prices_twap_thirty": 30, "crypto_prices_twap_sixty": 60}
"""Topics by the seconds they average over."""
SAMPLES_MAX = 8 * 3600
"""Ticks kept over all symbols: an hour of eight feeds, for markets that are found after they began."""
_SCALED_DIGITS_MIN = 19
"""A value without a point and with so many digits is in units of 1e-18."""


class Strikes:
    """Remembers ticks by symbol, averaging time and second."""

    def __init__(self) -> None:
        self._ticks: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    def read(self, frame: wire.Price) -> tuple[str, int, int, int] | None:
        """Symbol, averaging seconds, moment (ns) and price of a frame; ``None`` for one of no use.

        Raises:
            FrameError: for a price that is none.
        """
        average_s = TOPICS.get(frame.topic)
        payload = frame.payload
        if average_s is None or payload is None or frame.type != "update" or not payload.timestamp:
            return None
        text = payload.full_accuracy_value or bytes(payload.value).decode("utf-8", "replace").strip().strip(
            '"'
        )
        symbol = payload.symbol.casefold().partition("/")[0]
        return symbol, average_s, payload.timestamp * MILLISECOND, _price(text)

    def take(self, sample: tuple[str, int, int, int]) -> None:
        """Remember a tick; a second one for the same moment is the feed's correction."""
        symbol, average_s, at, price = sample
        self._ticks[symbol, average_s, at] = price
        if len(self._ticks) > SAMPLES_MAX:
            self._ticks.popitem(last=False)

    def of(self, symbol: str, average_s: int, open_at: int) -> int | None:
        """The price to beat of a window that began then; ``None`` while it is not known."""
        if not symbol:
            return None
        return self._ticks.get((symbol, average_s, open_at - open_at % SECOND))


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
        raise FrameError(f"expected a price above 0, was {text[:40]!r}")
    return value
