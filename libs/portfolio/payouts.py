"""What a settled market pays for each of its instruments, and the name of a payout."""

from proto.feed import Market, MarketStatus
from proto.ids import natural_key
from proto.units import ONE

VOID = "void"
"""Result of a market whose outcomes share the payout; what each gets is told by ``payout``, or equal."""


def payouts_of(market: Market) -> dict[str, int]:
    """Return instrument → what one contract pays, in millionths; empty until the venue has said it.

    The first of two outcomes gets what the venue says (``payout``), but never less than ``payout_floor``, and the
    second the rest of 1. A result in a word that names no outcome pays nothing before the venue says how much.
    """
    outcomes = market.outcomes
    if market.status is not MarketStatus.SETTLED or not outcomes:
        return {}
    names = [outcome.name for outcome in outcomes]
    if len(outcomes) == 2:
        first = market.payout
        if first is None and market.result in names:
            first = ONE if market.result == names[0] else 0
        elif first is None and market.result == VOID:
            first = ONE // 2
        if first is None:
            return {}
        first = min(ONE, max(first, market.payout_floor))
        return {outcomes[0].instrument: first, outcomes[1].instrument: ONE - first}
    if market.result in names:
        return {outcome.instrument: ONE if outcome.name == market.result else 0 for outcome in outcomes}
    if market.result == VOID:
        return {outcome.instrument: ONE // len(outcomes) for outcome in outcomes}
    return {}


def did_first_happen(market: Market) -> bool | None:
    """Whether the first outcome of a settled market paid in full; ``None`` where it paid in part, or nobody has said."""
    paid = payouts_of(market).get(market.outcomes[0].instrument) if market.outcomes else None
    return paid == ONE if paid in (0, ONE) else None


def settlement_id_of(venue: str, instrument: str, paid: int | None, price: int, at: int) -> str:
    """Return the natural key of a payout; ``paid`` is what an earlier resolution paid, ``at`` when this one came."""
    anew = () if paid is None else (str(price), str(at))
    return natural_key("settlement", venue, instrument, *anew)
