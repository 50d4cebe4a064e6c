"""What risk says of an order: the messages, filled in.

They are made without the models' own checks: a reservation's fields were within bounds when its proposal was
read, and its size is (``libs/sizing``). What is computed beside them is brought within bounds here, or refused: the
figures of the checks (a stake or a fee may be computed from anything), and the order's name.
"""

import struct
from collections.abc import Sequence
from functools import partial

from proto.message import NAME_CHARACTERS_MAX, as_integer, unchecked
from proto.risk import Approval, Check, Pending, Rejection
from services.risk.checks import CheckResult
from services.risk.exposure import Reservation

_row_of = partial(tuple.__new__, Check)
_approval_of = unchecked(Approval)
_rejection_of = unchecked(Rejection)


def approval(order: str, candidate: Reservation, checks: Sequence[CheckResult]) -> Approval:
    """Exactly this order, once.

    Raises:
        ValueError: for a name that no message can carry; nobody could read the approval.
    """
    if len(order) > NAME_CHARACTERS_MAX:
        raise ValueError(f"expected an order's name of at most {NAME_CHARACTERS_MAX}, was {order!r}")
    return _approval_of(
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


def rejection(candidate: Reservation, failed: Sequence[CheckResult]) -> Rejection:
    """Everything that is wrong with it."""
    return _rejection_of(
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


def _rows(checks: Sequence[CheckResult]) -> tuple[Check, ...]:
    """The checks as rows of a message, their figures within bounds."""
    try:
        # All figures as integers of 64 bits: the quickest look at the bounds of sixty.
        _, limits, values, _ = zip(*checks, strict=True)
        form = f"{len(limits)}q"
        struct.pack(form, *limits)
        struct.pack(form, *values)
    except struct.error:
        return tuple(
            [Check(name, as_integer(limit), as_integer(value), ok) for name, limit, value, ok in checks]
        )
    return tuple(map(_row_of, checks))
