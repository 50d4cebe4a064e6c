"""How much to bet: fractional Kelly or a fixed fraction, exact in millionths.

A binary contract costs ``c`` (price and fee) and pays 1 with probability ``p``. The stake that lets
wealth grow fastest is the fraction ``f = (p - c) / (1 - c)`` of it (J. L. Kelly, "A New Interpretation of
Information Rate", 1956, for the odds ``(1 - c) / c``). Half of it gives up a quarter of the growth for half
of the swings, which is what an estimated ``p`` deserves.

Everything rounds down: a size is never larger than the exact one.
"""

from math import isqrt

from proto.units import AMOUNT_MAX, ONE

HALF = ONE // 2
"""The default share of the full Kelly stake."""


def kelly_fraction(fair_value: int, cost: int, share: int = HALF) -> int:
    """The fraction of equity to stake on one binary contract, in millionths.

    Args:
        fair_value: probability that the contract pays, in millionths.
        cost: price and fee of one contract, in millionths of a dollar.
        share: which part of the full Kelly stake is wanted, in millionths.

    Returns:
        0 when there is no edge, or when the arguments are no probability and no price of a binary.
    """
    if not 0 < cost < ONE or not cost < fair_value <= ONE:
        return 0
    return (fair_value - cost) * share // (ONE - cost)


def quantity_for_stake(stake: int, cost: int, quantity_step: int, quantity_min: int) -> int:
    """How many contracts ``stake`` buys at ``cost`` each, on the venue's lot, in millionths.

    Args:
        stake: money to spend, in millionths of a dollar.
        cost: price and fee of one contract, in millionths of a dollar.
        quantity_step: the venue's lot in millionths; 0 when the venue has none (one millionth).
        quantity_min: the smallest order, in millionths; less becomes 0.
    """
    if stake <= 0 or cost <= 0:
        return 0
    quantity = min(stake * ONE // cost, AMOUNT_MAX)
    quantity -= quantity % max(quantity_step, 1)
    return quantity if quantity >= max(quantity_min, 1) else 0


def drawdown_scale(drawdown: int, reduce_from: int, stop_at: int) -> int:
    """What is left of a size at a drawdown, in millionths: 1 below ``reduce_from``, 0 from ``stop_at`` on.

    Between the two it falls on a straight line, so that no single tick halves every size. All three are
    fractions of the highest equity, in millionths.
    """
    if drawdown >= stop_at:
        return 0
    if drawdown <= reduce_from:
        return ONE
    return (stop_at - drawdown) * ONE // (stop_at - reduce_from)


def volatility_fraction(fair_value: int, cost: int, target: int) -> int:
    """The fraction of equity whose outcome has a standard deviation of ``target`` of equity.

    A contract held to the end is worth 1 or nothing: its standard deviation is √(p (1 − p)) of a dollar, so the stake for
    it is ``target · c / √(p (1 − p))``. A certain one has none, and takes everything: ``bet_max`` is the bound.
    """
    if not 0 < cost < ONE or not cost < fair_value <= ONE:
        return 0
    variance = fair_value * (ONE - fair_value)
    # Rounded up, so that the stake is not larger than the exact one.
    deviation = isqrt(variance - 1) + 1 if variance else 0
    return min(target * cost // deviation, ONE) if deviation else ONE


def risk_fraction(fair_value: int, cost: int, price: int, risk: int, stop: int) -> int:
    """The fraction of equity that loses ``risk`` of equity when the position leaves at its stop.

    ``stop``: the loss at the stop as a fraction of the price, with what the sale slips. Fees are paid both ways, and no
    contract loses more than it cost.
    """
    if not 0 < cost < ONE or not cost < fair_value <= ONE:
        return 0
    loss = min(-(-price * stop // ONE) + 2 * (cost - price), cost)
    return min(risk * cost // loss, ONE) if loss > 0 else 0
