"""The transitions of an order from state to state, each with its messages: nothing else changes a status."""

from collections.abc import Sequence

from libs.bounded import keep_newest
from libs.machine.machine import NOTHING
from proto.execution import TERMINAL, Cancel, OrderStatus, OrderUpdate, Query
from proto.message import Message
from proto.risk import TimeInForce
from proto.units import SECOND
from proto.venue import AckStatus
from services.execution.orders import ENDINGS, TRANSITIONS, WORKING, TrackedOrder, update_of
from services.execution.params import ExecutionParams
from services.execution.state import ExecutionState

NO_ANSWER = "no_answer"
DOUBLINGS_MAX = 12
"""Of the second between the first two queries: beyond an hour, which is ``query_interval_s`` at most."""
ENDED_MAX = 500
"""Ended orders kept for late fills, corrections and queries; a late fill comes within seconds."""


def tracked_order(state: ExecutionState, order: str) -> TrackedOrder | None:
    """Return an order that is tracked, live or ended; count it as unmatched when it is not."""
    tracked = state.order(order)
    if tracked is None:
        state.counters.unmatched += 1
    return tracked


def move(
    state: ExecutionState, tracked: TrackedOrder, status: OrderStatus, now: int, reason: str = ""
) -> OrderUpdate:
    """Put an order into its next state; nothing else does."""
    assert status in TRANSITIONS[tracked.status], f"{tracked.status} to {status}"
    tracked.status = status
    tracked.since = now
    if status in TERMINAL:
        _retire(state, tracked)
    return update_of(tracked, reason)


def _retire(state: ExecutionState, tracked: TrackedOrder) -> None:
    del state.live[tracked.order]
    state.ended[tracked.order] = tracked
    keep_newest(state.ended, ENDED_MAX)


def deny(state: ExecutionState, tracked: TrackedOrder, reason: str, now: int) -> OrderUpdate:
    """Track an order only to end it: it will not be sent."""
    state.live[tracked.order] = tracked
    return move(state, tracked, OrderStatus.DENIED, now, reason)


def mark_unknown(state: ExecutionState, tracked: TrackedOrder, reason: str, now: int) -> Sequence[Message]:
    """Mark an order whose request left and whose answer proves nothing; query it at once."""
    if tracked.status not in (OrderStatus.PENDING_SUBMIT, OrderStatus.SUBMITTED):
        return NOTHING
    tracked.asks, tracked.asked_at = 1, now
    return move(state, tracked, OrderStatus.UNKNOWN, now, reason or NO_ANSWER), Query(order=tracked.order)


def mark_working(state: ExecutionState, tracked: TrackedOrder, now: int) -> list[Message]:
    """Mark an order that the venue holds."""
    if tracked.status is OrderStatus.PENDING_CANCEL or tracked.status in WORKING:
        return []
    status = OrderStatus.PARTIALLY_FILLED if tracked.traded else OrderStatus.ACCEPTED
    return [move(state, tracked, status, now), *cancel_if_requested(state, tracked, now)]


def finish(
    state: ExecutionState, tracked: TrackedOrder, status: AckStatus, now: int, reason: str
) -> Sequence[Message]:
    """End an order by the final status that the venue reports."""
    ending = ENDINGS[status]
    if ending is OrderStatus.REJECTED and (tracked.traded or tracked.status is OrderStatus.PENDING_CANCEL):
        ending = OrderStatus.CANCELED
    if ending not in TRANSITIONS[tracked.status]:
        state.counters.illegal += 1
        return NOTHING
    return (move(state, tracked, ending, now, reason),)


def cancel(state: ExecutionState, tracked: TrackedOrder, reason: str, now: int) -> Sequence[Message]:
    """Cancel an order, now or as soon as the venue can know it."""
    if tracked.status in WORKING:
        tracked.cancel_reason = reason
        return cancel_if_requested(state, tracked, now)
    if tracked.cancel_reason or tracked.status is OrderStatus.PENDING_CANCEL:
        return NOTHING
    tracked.cancel_reason = reason
    if tracked.status is OrderStatus.PENDING_SUBMIT:
        return NOTHING
    return (Cancel(order=tracked.order, reason=reason),)


def cancel_if_requested(state: ExecutionState, tracked: TrackedOrder, now: int) -> Sequence[Message]:
    """Cancel an order whose cancel was requested before the venue acknowledged it."""
    reason = tracked.cancel_reason
    if not reason:
        return NOTHING
    pending = move(state, tracked, OrderStatus.PENDING_CANCEL, now, reason)
    return pending, Cancel(order=tracked.order, reason=reason)


def check_timeouts(
    state: ExecutionState, tracked: TrackedOrder, params: ExecutionParams, now: int
) -> Sequence[Message]:
    """Query or cancel an order that has waited too long."""
    patience = params.ack_timeout_s * SECOND
    status = tracked.status
    if status in WORKING and tracked.time_in_force is TimeInForce.GTD:
        # The venue expires it by itself; a cancel makes sure.
        late = now >= tracked.expires_at + patience
        return cancel(state, tracked, "expired", now) if late else NOTHING
    waits = status in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN, OrderStatus.PENDING_CANCEL)
    if not waits and not (status in WORKING and tracked.is_immediate):
        return NOTHING
    interval = params.query_interval_s * SECOND
    if status is OrderStatus.UNKNOWN and tracked.asks:
        if now < tracked.asked_at + min(interval, SECOND << min(tracked.asks - 1, DOUBLINGS_MAX)):
            return NOTHING
        tracked.asks += 1
    elif now < tracked.since + patience or now < tracked.asked_at + interval:
        return NOTHING
    outputs: list[Message] = []
    if status is OrderStatus.SUBMITTED:
        outputs.append(move(state, tracked, OrderStatus.UNKNOWN, now, NO_ANSWER))
    tracked.asked_at = now
    outputs.append(Query(order=tracked.order))
    return outputs
