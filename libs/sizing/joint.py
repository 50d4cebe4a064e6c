"""How much to add to what is held: the stake that lets wealth grow fastest over the joint outcomes of a group.

Kelly's rule for one bet asks what wealth is if it wins and if it loses. With other bets on outcomes of the same event that
is not two figures: wealth differs by outcome, and a bet that pays where the others lose is worth more than alone, one that
pays where they pay less. The expected logarithm of wealth is concave in the stake, so its derivative has one root, found
by halving. Bets made one after the other, each at its own best, reach what the closed form for exclusive outcomes gives
for all at once (Smoczyński and Tomkins, "An explicit solution to the problem of optimizing the allocations of a bettor's
wealth when wagering on horse races", 2010), which is the tests' oracle.
"""

from collections.abc import Sequence
from typing import NamedTuple

from proto.units import ONE


class JointOutcome(NamedTuple):
    """One way a group can end: its probability, the wealth then without the new bet, and whether the bet pays."""

    probability: int
    wealth: int
    pays: bool


def added_stake(outcomes: Sequence[JointOutcome], cost: int, stake_max: int) -> int:
    """The stake to add, in millionths of a dollar and rounded down; 0 where any makes growth slower.

    Args:
        outcomes: all ways the group can end. Probabilities are in millionths; those of no chance are left out.
        cost: price and fee of one contract, in millionths of a dollar.
        stake_max: the most that may be staked.
    """
    if not 0 < cost < ONE:
        return 0
    gain = (ONE - cost) / cost
    rows = [
        (outcome.probability / ONE, outcome.wealth, gain if outcome.pays else -1.0)
        for outcome in outcomes
        if outcome.probability > 0
    ]
    if not rows or any(wealth <= 0 for _, wealth, _ in rows):
        # Where all may be lost already no bet has a best size.
        return 0
    # Wealth stays above nothing in every outcome.
    high = min([stake_max, *[wealth - 1 for _, wealth, change in rows if change < 0]])
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        if _slope(rows, middle) > 0:
            low = middle
        else:
            high = middle - 1
    return low


def _slope(rows: Sequence[tuple[float, int, float]], stake: int) -> float:
    """How expected log wealth changes with the stake."""
    slope = 0.0
    for probability, wealth, change in rows:
        slope += probability * change / (wealth + stake * change)
    return slope
