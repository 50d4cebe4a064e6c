"""Venues' decimal strings as integers of one millionth: exactly, or not at all."""

from collections.abc import Callable

from libs.bounded import clip
from libs.venues.frame import FrameError
from proto.units import ONE, UnitError, parse

PRICE_GRID = 100
"""The finest price step of Kalshi and Polymarket, 0.0001, in millionths."""
REMEMBERED_MAX = 50_000
"""Strings remembered. There are 9,999 prices; quantities repeat, but not without end."""


class Remembered(dict[str, int]):
    """Strings already read, with their numbers: in frames the same ones come again and again.

    ``remembered[text]`` reads a new string with ``read`` and raises what that raises.
    """

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[str], int]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> int:
        value = self._read(text)
        if len(self) >= REMEMBERED_MAX:
            self.clear()
        self[text] = value
        return value


def number(text: str) -> int:
    """A decimal string in millionths.

    Raises:
        FrameError: for anything else.
    """
    try:
        return parse(text)
    except UnitError as e:
        raise FrameError(str(e)) from e


def share_price(text: str) -> int:
    """The price of a contract that pays 1: between 0 and 1, both excluded, in millionths.

    Raises:
        FrameError: for anything else, also off the grid of 0.0001.
    """
    value = number(text)
    if not 0 < value < ONE or value % PRICE_GRID:
        raise FrameError(f"expected a price between 0 and 1 on the grid of 0.0001, was {clip(text, 40)!r}")
    return value
