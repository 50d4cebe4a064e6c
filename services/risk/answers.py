"""What risk says of an order: the messages, filled in."""

from typing import Any

from msgspec.structs import astuple
from pydantic import ValidationError

from proto.message import as_integer
from proto.risk import Approval, Pending, Rejection
from services.risk.checks import CheckResult
from services.risk.exposure import Reservation


def approval(order: str, candidate: Reservation, checks: tuple[CheckResult, ...]) -> Approval:
    """Exactly this order, once."""
    try:
        return _approval(order, candidate, checks)
    except ValidationError:
        return _approval(order, candidate, _bounded(checks))


def _approval(order: str, candidate: Reservation, checks: tuple[CheckResult, ...]) -> Approval:
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
        checks=_rows(checks),
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


def rejection(candidate: Reservation, failed: tuple[CheckResult, ...]) -> Rejection:
    """Everything that is wrong with it."""
    try:
        return _rejection(candidate, failed)
    except ValidationError:
        return _rejection(candidate, _bounded(failed))


def _rows(checks: tuple[CheckResult, ...]) -> Any:
    """The checks as the message's model takes them."""
    return [astuple(check) for check in checks]


def _bounded(checks: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    """The checks with figures that a message can carry: a stake or a fee may be computed from anything."""
    return tuple(CheckResult(c.name, as_integer(c.limit), as_integer(c.value), c.passed) for c in checks)


def _rejection(candidate: Reservation, failed: tuple[CheckResult, ...]) -> Rejection:
    return Rejection(
        strategy=candidate.strategy,
        market=candidate.market,
        instrument=candidate.instrument,
        side=candidate.side,
        price=candidate.price,
        proposal=candidate.proposal,
        quantity=candidate.quantity,
        reduce_only=candidate.reduce_only,
        failed=_rows(failed),
    )
