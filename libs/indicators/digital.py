"""Fair value of a binary market on a price: a digital option."""

import math

from libs.indicators.statistics import normal_cdf, to_millionths
from proto.units import ONE, Price


def digital_fair_value(
    spot: Price, strike: Price, sigma: float, seconds_left: float, average_s: float = 0.0
) -> Price:
    """P(S_T ≥ K), in millionths, that a price ends at or above its strike.

    Black-Scholes without interest or drift: ln S_T is normal with mean ln S − v/2 and variance v, so
    P = Φ(d₂), d₂ = (ln(S/K) − v/2)/√v (Hull, Options, Futures, and Other Derivatives, cash-or-nothing
    call). ``sigma`` is the standard deviation of the log return over one second.

    When the result compares the mean over the last ``average_s`` = w seconds with the strike, τ seconds
    before the end, v = σ²(τ − w + w/3): the whole variance until the averaging begins and a third of it
    inside, because Var(∫₀ʷ B dt / w) = w/3 for a Brownian motion B. The mean of lognormal prices is
    taken as lognormal; over a minute the difference is far below one millionth.

    Raises:
        ValueError: for prices that are not positive, or inside the averaging period (τ < w), where the
            part of the mean that is already known would have to be given.
    """
    if spot <= 0 or strike <= 0:
        raise ValueError(f"expected positive spot and strike, was {spot} and {strike}")
    if seconds_left < average_s or average_s < 0.0:
        raise ValueError(f"expected at least the averaging period of {average_s} s, was {seconds_left} s")
    variance = sigma * sigma * (seconds_left - average_s * 2.0 / 3.0)
    if variance <= 0.0:
        return ONE if spot >= strike else 0
    d2 = (math.log(spot / strike) - variance / 2.0) / math.sqrt(variance)
    return to_millionths(normal_cdf(d2))
