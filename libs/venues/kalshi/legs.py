"""The one place where our outcomes meet Kalshi's single book, which is always quoted for YES.

A bid is for YES at the YES price, an ask offers it. Buying NO at 0.44 is an ask at 0.56; selling NO at
0.44 is a bid at 0.56. Nothing else in the adapter turns a side or a price round.
"""

from typing import Literal, NamedTuple

from libs.bounded import clip
from libs.venues.kalshi import KALSHI
from proto.feed import Side
from proto.units import ONE

YES, NO = "yes", "no"
BookSide = Literal["bid", "ask"]


class YesLeg(NamedTuple):
    """A side of the YES book and a YES price."""

    side: BookSide
    price: int


class OwnLeg(NamedTuple):
    """A side and a price in the space of one outcome."""

    side: Side
    price: int


class Contract(NamedTuple):
    """A market and one of its two outcomes."""

    ticker: str
    outcome: str


def yes_leg(outcome: str, side: Side, price: int) -> YesLeg:
    """Our order as the venue has it."""
    if outcome == YES:
        return YesLeg("bid" if side is Side.BUY else "ask", price)
    return YesLeg("ask" if side is Side.BUY else "bid", ONE - price)


def own_leg(outcome: str, leg: YesLeg) -> OwnLeg:
    """The venue's order or fill as ours; the inverse of ``yes_leg``."""
    if outcome == YES:
        return OwnLeg(Side.BUY if leg.side == "bid" else Side.SELL, leg.price)
    return OwnLeg(Side.BUY if leg.side == "ask" else Side.SELL, ONE - leg.price)


def positioned(side: BookSide) -> str:
    """The outcome a side of the book makes you long of: how the venue itself speaks of direction."""
    return YES if side == "bid" else NO


def instrument_of(ticker: str, outcome: str) -> str:
    """``kalshi:{ticker}:yes`` or ``…:no``."""
    return f"{KALSHI}:{ticker}:{outcome}"


def market_of(ticker: str) -> str:
    """``kalshi:{ticker}``."""
    return f"{KALSHI}:{ticker}"


def contract_of(instrument: str) -> Contract:
    """Market and outcome of an instrument of this venue.

    Raises:
        ValueError: for any other instrument.
    """
    venue, _, rest = instrument.partition(":")
    ticker, _, outcome = rest.rpartition(":")
    if venue != KALSHI or not ticker or outcome not in (YES, NO):
        raise ValueError(f"expected kalshi:<ticker>:yes or :no, was {clip(instrument, 120)!r}")
    return Contract(ticker, outcome)
