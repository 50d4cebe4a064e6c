"""Exact numbers: prices, quantities and money are integers of one millionth.

One millionth covers every venue's grid: Polymarket trades in 1e-6, Kalshi prices in 1e-4 dollars and
counts in 1e-2 contracts. Floats are for statistics only.
"""

from typing import Annotated

from pydantic import Field, JsonValue

ONE = 1_000_000
"""The unit: 1 dollar, 1 contract, or a probability of 1."""

# The largest amount a message may carry: a billion units. Far above any account, far below 2**63.
AMOUNT_MAX = 1_000_000_000 * ONE

MOMENT_MAX = 2**63 - 1
"""The last moment a message can name, in nanoseconds: in the year 2262."""

UNIT_KEY = "unit"
UNIT_MILLIONTHS = "millionths"
MILLIONTHS: dict[str, JsonValue] = {UNIT_KEY: UNIT_MILLIONTHS}
"""Marks a number of a schema as millionths: a configuration writes it with a decimal point."""

Price = Annotated[
    int,
    Field(title="Price", strict=True, ge=0, le=AMOUNT_MAX, json_schema_extra=MILLIONTHS),
]
"""Price in millionths of a dollar, in the space of its own outcome."""
Quantity = Annotated[
    int,
    Field(title="Quantity", strict=True, ge=0, le=AMOUNT_MAX, json_schema_extra=MILLIONTHS),
]
"""Number of contracts (or coins) in millionths; never negative, the side says which way."""
Money = Annotated[
    int,
    Field(title="Money", strict=True, ge=-AMOUNT_MAX, le=AMOUNT_MAX, json_schema_extra=MILLIONTHS),
]
"""Signed amount of money in millionths of a dollar."""
Nanoseconds = Annotated[int, Field(title="Nanoseconds", strict=True, ge=0, le=MOMENT_MAX)]
"""A moment: nanoseconds since the Unix epoch, UTC."""

SECOND = 1_000_000_000
"""Nanoseconds in a second."""
MILLISECOND = 1_000_000
"""Nanoseconds in a millisecond."""

_DECIMALS = 6


class UnitError(ValueError):
    """A number that does not fit the grid of one millionth."""


def parse(text: str) -> int:
    """Read a plain decimal string (``"-0.4500"``) as millionths, exactly.

    Raises:
        UnitError: for anything but an optional sign, digits and at most six significant decimals.
    """
    sign = -1 if text[:1] == "-" else 1
    digits = text[1:] if text[:1] in ("-", "+") else text
    whole, _, fraction = digits.partition(".")
    extra = fraction[_DECIMALS:]
    fraction = fraction[:_DECIMALS]
    if (
        not (whole or fraction)
        or not (whole + fraction).isdecimal()
        or not (whole + fraction + extra).isascii()
        or extra.strip("0")
    ):
        raise UnitError(f"expected a decimal number with at most six decimals, was {text[:40]!r}")
    if len(whole) > len(str(AMOUNT_MAX)):
        raise UnitError(f"expected at most {AMOUNT_MAX // ONE}, was {text[:40]!r}")
    value = int(whole or "0") * ONE + int(fraction.ljust(_DECIMALS, "0") or "0")
    if value > AMOUNT_MAX:
        raise UnitError(f"expected at most {AMOUNT_MAX // ONE}, was {text[:40]!r}")
    return sign * value


def show(value: int) -> str:
    """Write millionths as the shortest exact decimal: ``450_000`` is ``"0.45"``."""
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), ONE)
    text = f"{whole}.{fraction:06d}".rstrip("0").rstrip(".")
    return sign + text


def as_quantity(value: int) -> int:
    """The quantity or price nearest to a computed one that a message can carry."""
    return min(max(value, 0), AMOUNT_MAX)


def as_money(value: int) -> int:
    """The amount nearest to a computed one that a message can carry."""
    return min(max(value, -AMOUNT_MAX), AMOUNT_MAX)


def later(moment: int, nanoseconds: int) -> int:
    """So much after a moment, or the last one that a message can name."""
    return min(moment + nanoseconds, MOMENT_MAX)


def notional(price: int, quantity: int) -> int:
    """Value of ``quantity`` at ``price``, in money; a fraction of a millionth is rounded half up.

    Both are in millionths, and so is the product. This is the only place where the two meet.
    """
    return (price * quantity * 2 + ONE) // (2 * ONE)


def scale(value: int, fraction: int) -> int:
    """``value`` times ``fraction`` (in millionths), rounded towards minus infinity."""
    return value * fraction // ONE
