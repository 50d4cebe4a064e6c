"""What risk says of an order: the messages, filled in."""

from proto.risk import Approval, Check, Pending, Rejection
from services.risk.exposure import Reservation


def approval(order: str, candidate: Reservation, checks: tuple[Check, ...]) -> Approval:
    """Exactly this order, once."""
    return Approval(
        order=order,
        strategy=candidate.strategy,
        market=candidate.market,
        instrument=candidate.instrument,
        side=candidate.side,
        price=candidate.price,
        quantity=candidate.quantity,
        time_in_force=candidate.time_in_force,
        expires_at=candidate.expires_at,
        proposal=candidate.proposal,
        reduce_only=candidate.reduce_only,
        reason=candidate.reason,
        checks=checks,
    )


def pending(order: str, candidate: Reservation) -> Pending:
    """The operator may approve it."""
    return Pending(
        order=order,
        strategy=candidate.strategy,
        market=candidate.market,
        instrument=candidate.instrument,
        side=candidate.side,
        price=candidate.price,
        quantity=candidate.quantity,
        expires_at=candidate.expires_at,
        proposal=candidate.proposal,
    )


def rejection(candidate: Reservation, failed: tuple[Check, ...]) -> Rejection:
    """Everything that is wrong with it."""
    return Rejection(
        strategy=candidate.strategy,
        market=candidate.market,
        instrument=candidate.instrument,
        side=candidate.side,
        price=candidate.price,
        proposal=candidate.proposal,
        quantity=candidate.quantity,
        reduce_only=candidate.reduce_only,
        failed=failed,
    )
