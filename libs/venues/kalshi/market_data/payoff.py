"""What a Kalshi market pays on: its strike type and the figures of its strikes.

Source: docs/reference/venue-facts.md, Kalshi payoffs.
"""

import re
from typing import NamedTuple

import msgspec

from libs.bounded import clip
from libs.venues.frame import FrameError
from proto.feed import Payoff

FIGURE_CHARACTERS_MAX = 40
DIGITS_MAX = 15
"""A double tells so many digits exactly; what a longer figure has beyond them is the noise of one."""
FIGURE_DECIMALS, FIGURE_DECIMALS_MAX = 6, 12
"""Decimals told as a rule, and at most: strikes of the cheapest coins have nine."""
FIGURE_MAX = 2**63 - 1
_FIGURE = re.compile(r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)


class Figure(NamedTuple):
    """A figure of an underlying: a whole number of its last decimal. Trailing zeros are cut off."""

    value: int
    decimals: int

    def scaled(self, decimals: int) -> int:
        """The figure with so many decimals, which are enough for it."""
        return int(self.value * 10 ** (decimals - self.decimals))


class Terms(NamedTuple):
    """How a strike type decides, and which of its bounds belong to it."""

    payoff: Payoff
    floor_included: bool = True
    cap_included: bool = False


TERMS = {
    "greater": Terms(Payoff.ABOVE, floor_included=False),
    "greater_or_equal": Terms(Payoff.ABOVE),
    "less": Terms(Payoff.BELOW),
    "less_or_equal": Terms(Payoff.BELOW, cap_included=True),
    "between": Terms(Payoff.BETWEEN, cap_included=True),
    "structured": Terms(Payoff.EVENT),
    "custom": Terms(Payoff.EVENT),
}
"""By ``strike_type``. ``functional`` and words that are new say nothing that could be priced."""
UNKNOWN = Terms(Payoff.UNKNOWN)
NEEDS_FLOOR = (Payoff.ABOVE, Payoff.BETWEEN)
NEEDS_CAP = (Payoff.BELOW, Payoff.BETWEEN)


class Strikes(NamedTuple):
    """The strikes of a market as far as they are told."""

    kind: str = ""
    floor: Figure | None = None
    cap: Figure | None = None

    def updated(self, newer: "Strikes") -> "Strikes":
        """These strikes with what a newer word of the venue tells."""
        return Strikes(
            newer.kind or self.kind,
            self.floor if newer.floor is None else newer.floor,
            self.cap if newer.cap is None else newer.cap,
        )


def read_strikes(kind: str | None, floor: msgspec.Raw, cap: msgspec.Raw) -> Strikes:
    """Strikes from their JSON texts.

    Raises:
        FrameError: for figures that are none, or bounds in the wrong order.
    """
    strikes = Strikes(kind or "", read_figure(floor), read_figure(cap))
    if strikes.floor is not None and strikes.cap is not None:
        decimals = max(strikes.floor.decimals, strikes.cap.decimals)
        if strikes.floor.scaled(decimals) > strikes.cap.scaled(decimals):
            raise FrameError(f"expected a floor below the cap, was {strikes.floor} and {strikes.cap}")
    return strikes


def read_figure(raw: msgspec.Raw) -> Figure | None:
    """A figure of an underlying from its JSON text, a number or a string; ``None`` for none.

    It may be negative, have an exponent, or carry the noise of a float, which is rounded off.

    Raises:
        FrameError: for anything else, and for figures that no message could tell.
    """
    text = bytes(raw).decode("utf-8", "replace").strip().strip('"')
    if text in ("", "null"):
        return None
    found = _FIGURE.fullmatch(text) if len(text) <= FIGURE_CHARACTERS_MAX else None
    if found is None:
        raise FrameError(f"expected a figure, was {clip(text, FIGURE_CHARACTERS_MAX)!r}")
    sign, whole, part, exponent = found[1], found[2], found[3] or "", int(found[4] or 0)
    value, decimals = int(whole + part), len(part) - exponent
    if (noise := len(str(value)) - DIGITS_MAX) > 0:
        value, decimals = (value + 10**noise // 2) // 10**noise, decimals - noise
    while value % 10 == 0 and value and decimals > 0:
        value, decimals = value // 10, decimals - 1
    if not value:
        return Figure(0, 0)
    if -FIGURE_CHARACTERS_MAX < decimals < 0:
        value, decimals = value * 10**-decimals, 0
    figure = Figure(-value if sign else value, decimals)
    if (
        not 0 <= decimals <= FIGURE_DECIMALS_MAX
        or value * 10 ** max(0, FIGURE_DECIMALS - decimals) > FIGURE_MAX
    ):
        raise FrameError(
            f"expected a figure of 64 bits with at most {FIGURE_DECIMALS_MAX} decimals, was {text}"
        )
    return figure


def price_of(figure: Figure | None) -> int | None:
    """A figure as a price in millionths; ``None`` where it is none, negative, or finer."""
    if figure is None or figure.value < 0 or figure.decimals > FIGURE_DECIMALS:
        return None
    return figure.scaled(FIGURE_DECIMALS)
