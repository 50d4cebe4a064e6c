"""What a resolved market paid for each outcome."""

from collections.abc import Sequence

from libs.venues.frame import FrameError
from libs.venues.gateway import SettlementReport
from libs.venues.manifold import MANIFOLD
from libs.venues.manifold.schemas.wire import Bet, Contract, millionths
from proto.units import MILLISECOND, ONE

NOTHING_HELD = 1_000
"""Shares below a thousandth are what floats leave of a closed position."""


def settlements_of(contract: Contract, bets: Sequence[Bet]) -> list[SettlementReport]:
    """Payouts of both outcomes of a market resolved to YES, NO, a probability (MKT) or cancelled.

    ``CANCEL`` gives the stakes back: a share of what is held pays what it cost on average, at most 1.

    Raises:
        FrameError: for a resolution of no known kind.
    """
    yes, no = _prices(contract, bets)
    at = int(contract.resolutionTime or 0) * MILLISECOND
    market = f"{MANIFOLD}:{contract.id}"
    return [
        SettlementReport(market=market, instrument=f"{market}:{outcome}", price=price, at=at)
        for outcome, price in (("yes", yes), ("no", no))
    ]


def _prices(contract: Contract, bets: Sequence[Bet]) -> tuple[int, int]:
    if contract.resolution == "YES":
        return ONE, 0
    if contract.resolution == "NO":
        return 0, ONE
    if contract.resolution == "MKT" and contract.resolutionProbability is not None:
        yes = millionths(contract.resolutionProbability)
        return yes, ONE - yes
    if contract.resolution == "CANCEL":
        return _refund(bets, "YES"), _refund(bets, "NO")
    raise FrameError(f"expected YES, NO, MKT or CANCEL, was {contract.resolution!r}")


def _refund(bets: Sequence[Bet], outcome: str) -> int:
    """Net stake in the market for each share of ``outcome`` still held."""
    held = sum(millionths(bet.shares) for bet in bets if bet.outcome == outcome)
    stake = sum(millionths(bet.amount) for bet in bets)
    if held < NOTHING_HELD or stake <= 0:
        return 0
    return min(ONE, stake * ONE // held)
