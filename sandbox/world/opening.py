"""How a world begins that is shown to somebody: with a trend, so that something happens while they look.

An ordinary world jumps once in a hundred seconds, and whoever has just started one may wait for minutes. A lively
one is carried one way, from a few seconds after its beginning on. Nothing else is different: makers follow
the price as late as always, and who trades has to find out by itself.
"""

import random
from typing import NamedTuple

FIRST_AFTER_S = (6.0, 9.0)
BETWEEN_S = (10.0, 14.0)
"""From one move to the next: shorter than a maker's lag, so that books are behind all the while."""
UNTIL_S = 110.0
"""No move begins later: a start of the whole system on a busy machine takes a minute."""
MOVE = (0.0018, 0.0028)
"""A move by this fraction, about as large as an ordinary jump."""
MOVE_S = (4.0, 7.0)


class OpeningMove(NamedTuple):
    """A change of the price by a fraction, spread over ``seconds``, that begins so long after the world does."""

    after_s: float
    change: float
    seconds: float


def opening_moves(seed: int) -> list[OpeningMove]:
    """Return the moves of a lively beginning, all in one direction."""
    draw = random.Random(f"presage-sandbox/{seed}/opening")
    direction = draw.choice((-1.0, 1.0))
    moves = []
    after_s = draw.uniform(*FIRST_AFTER_S)
    while after_s < UNTIL_S:
        moves.append(OpeningMove(after_s, direction * draw.uniform(*MOVE), draw.uniform(*MOVE_S)))
        after_s += draw.uniform(*BETWEEN_S)
    return moves
