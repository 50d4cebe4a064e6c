"""Fair value of a binary market on a price: a digital option."""

import math
from typing import NamedTuple

from libs.indicators.statistics import normal_cdf, to_millionths
from proto.feed import Market, Payoff
from proto.units import ONE, Price

PRICED = (Payoff.ABOVE, Payoff.BELOW, Payoff.BETWEEN)
"""Payoffs that the underlying's price at the end decides."""
PRICE_DECIMALS = 6
"""Of prices in millionths, as a spot is told."""


class Outlook(NamedTuple):
    """What somebody expects of a price until a market's end, besides that it wanders.

    ``move``: the expected log return until then. ``variance_factor``: what its variance is multiplied by.
    """

    move: float = 0.0
    variance_factor: float = 1.0


NO_OUTLOOK = Outlook()


def digital_fair_value(
    spot: Price,
    strike: float,
    sigma: float,
    seconds_left: float,
    average_s: float = 0.0,
    outlook: Outlook = NO_OUTLOOK,
) -> Price:
    """P(S_T ≥ K), in millionths, that a price ends at or above its strike.

    Black-Scholes without interest or drift: ln S_T is normal with mean ln S − v/2 and variance v, so
    P = Φ(d₂), d₂ = (ln(S/K) − v/2)/√v (Hull, Options, Futures, and Other Derivatives, cash-or-nothing
    call). ``sigma`` is the standard deviation of the log return over one second.

    When the result compares the mean over the last ``average_s`` = w seconds with the strike, τ seconds
    before the end, v = σ²(τ − w + w/3): the whole variance until the averaging begins and a third of it
    inside, because Var(∫₀ʷ B dt / w) = w/3 for a Brownian motion B. The mean of lognormal prices is
    taken as lognormal; over a minute the difference is far below one millionth.

    An ``outlook`` moves the mean of ln S_T by its expected return and scales v; without one neither changes.

    Raises:
        ValueError: for prices that are not positive, or inside the averaging period (τ < w), where the
            part of the mean that is already known would have to be given.
    """
    if spot <= 0 or strike <= 0:
        raise ValueError(f"expected positive spot and strike, was {spot} and {strike}")
    if seconds_left < average_s or average_s < 0.0:
        raise ValueError(f"expected at least the averaging period of {average_s} s, was {seconds_left} s")
    variance = sigma * sigma * (seconds_left - average_s * 2.0 / 3.0) * outlook.variance_factor
    distance = math.log(spot / strike) + outlook.move
    if variance <= 0.0:
        return ONE if distance >= 0.0 else 0
    d2 = (distance - variance / 2.0) / math.sqrt(variance)
    return to_millionths(normal_cdf(d2))


def is_priced(market: Market) -> bool:
    """Whether a market pays by where its underlying ends, and all its bounds are known: no other is priced here."""
    floor, cap = market.floor is not None, market.cap is not None
    if market.payoff is Payoff.ABOVE:
        return floor
    return cap if market.payoff is Payoff.BELOW else floor and cap and market.payoff is Payoff.BETWEEN


def payoff_fair_value(
    market: Market, spot: Price, sigma: float, seconds_left: float, outlook: Outlook = NO_OUTLOOK
) -> Price:
    """What the first outcome (yes, up) of a priced market is worth, in millionths.

    A range is the difference of two digital options, above its floor and above its cap. Whether a bound belongs
    to it makes no difference: a price ends exactly there with probability 0.

    Raises:
        ValueError: for a market that is not priced, and as ``digital_fair_value``.
    """
    if not is_priced(market):
        raise ValueError(f"expected a payoff by a final price, was {market.payoff} of {market.market}")

    def above(figure: int | None) -> Price:
        bound = bound_of(market, figure)
        if bound <= 0:
            return ONE
        return digital_fair_value(spot, bound, sigma, seconds_left, market.settlement_average_s, outlook)

    if market.payoff is Payoff.ABOVE:
        return above(market.floor)
    if market.payoff is Payoff.BELOW:
        return ONE - above(market.cap)
    return above(market.floor) - above(market.cap)


def is_raised_by_price(market: Market, spot: Price) -> bool:
    """Whether a higher price makes the first outcome of a priced market more likely: a range's, from below it."""
    if market.payoff is not Payoff.BETWEEN:
        return market.payoff is Payoff.ABOVE
    return spot * spot < bound_of(market, market.floor) * bound_of(market, market.cap)


def bound_of(market: Market, figure: int | None) -> float:
    """A figure of a market in millionths, exact where it has no finer decimals."""
    value = figure or 0
    finer = market.figure_decimals - PRICE_DECIMALS
    return value if not finer else value / 10**finer if finer > 0 else value * 10**-finer
