"""What risk says of an order: the messages, filled in."""

from pydantic import ValidationError

from proto.message import as_integer
from proto.risk import Approval, Check, Pending, Rejection
from services.risk.exposure import Reservation


def approval(order: str, candidate: Reservation, checks: tuple[Check, ...]) -> Approval:
    """Exactly this order, once."""
    try:
        return _approval(order, candidate, checks)
    except ValidationError:
        return _approval(order, candidate, _carried(checks))


def _approval(order: str, candidate: Reservation, checks: tuple[Check, ...]) -> Approval:
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
    try:
        return _rejection(candidate, failed)
    except ValidationError:
        return _rejection(candidate, _carried(failed))


def _carried(checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """The checks with figures that a message can carry: a stake or a fee may be computed from anything."""
    return tuple(c._replace(limit=as_integer(c.limit), value=as_integer(c.value)) for c in checks)


def _rejection(candidate: Reservation, failed: tuple[Check, ...]) -> Rejection:
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
