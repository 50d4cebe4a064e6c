"""Kalshi's decimal strings and times as integers: exactly, or not at all."""

import re
from datetime import UTC, datetime, timedelta

from libs.bounded import clip
from libs.venues.frame import FrameError
from libs.venues.numbers import Remembered, number, share_price
from proto.units import AMOUNT_MAX, ONE

QUANTITY_GRID = 10_000
"""The smallest count, 0.01 contracts, in millionths."""
MOMENT_MAX_NS = 2**33 * 1_000_000_000
"""The year 2242; it fits 63 bits."""

_TICKER = re.compile(r"[A-Za-z0-9._-]{1,80}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class AmountReader:
    """Reads prices and counts, remembering what it has read.

    ``price(text)``: as ``share_price``. ``quantity(text)``: a signed number of contracts on the grid of 0.01,
    in millionths. Both raise ``FrameError`` for anything else.
    """

    def __init__(self) -> None:
        self.price = Remembered(share_price).__getitem__
        self.quantity = Remembered(_quantity).__getitem__

    def levels(self, rows: list[tuple[str, str]]) -> dict[int, int]:
        """One side of a snapshot, price → quantity; empty levels are left out.

        Raises:
            FrameError: for a level that is no price and count, comes twice, or is negative.
        """
        levels: dict[int, int] = {}
        for price_text, quantity_text in rows:
            price, quantity = self.price(price_text), self.quantity(quantity_text)
            if price in levels or not 0 <= quantity <= AMOUNT_MAX:
                was = f"{clip(price_text, 40)} {clip(quantity_text, 40)}"
                raise FrameError(f"expected each price once with a count of at least 0, was {was}")
            levels[price] = quantity
        return {price: quantity for price, quantity in levels.items() if quantity}


def edge(text: str) -> int:
    """A best price as tickers show it: 0 and 1 stand for an empty side.

    Raises:
        FrameError: for anything outside 0 to 1.
    """
    value = number(text)
    if not 0 <= value <= ONE:
        raise FrameError(f"expected a price from 0 to 1, was {clip(text, 40)!r}")
    return value


def ticker(text: str) -> str:
    """A market ticker, checked: it becomes part of instrument names and subjects.

    Raises:
        FrameError: for anything but 1 to 80 letters, digits, dots, dashes and underscores.
    """
    if not _TICKER.fullmatch(text):
        raise FrameError(f"expected a market ticker, was {clip(text, 40)!r}")
    return text


def nanoseconds(moment: datetime) -> int:
    """A moment as nanoseconds since the epoch; the year 1 stands for none.

    Raises:
        FrameError: for another moment before the epoch or after the year 2242.
    """
    if moment.year == 1:
        return 0
    value = (moment - _EPOCH) // _MICROSECOND * 1_000
    if not 0 <= value <= MOMENT_MAX_NS:
        raise FrameError(f"expected a time between 1970 and 2242, was {moment.isoformat()}")
    return value


def _quantity(text: str) -> int:
    value = number(text)
    if value % QUANTITY_GRID:
        raise FrameError(f"expected a count on the grid of 0.01, was {clip(text, 40)!r}")
    return value
