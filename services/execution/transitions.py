"""How an order moves from state to state, and what each move says: the only place that changes one's status."""

from collections.abc import Sequence

from libs.machine.machine import NOTHING
from proto.execution import TERMINAL, Cancel, OrderStatus, OrderUpdate, Query
from proto.message import Message
from proto.risk import TimeInForce
from proto.units import SECOND
from proto.venue import AckStatus
from services.execution.orders import ENDINGS, TRANSITIONS, WORKING, Tracked, update_of
from services.execution.state import ExecutionParams, ExecutionState

NO_ANSWER = "no_answer"
DOUBLINGS_MAX = 12
"""Of the second between the first two questions: beyond an hour, which is ``query_interval_s`` at most."""
ENDED_MAX = 500
"""Ended orders kept for late fills, corrections and questions; a late fill comes within seconds."""


def known(state: ExecutionState, order: str) -> Tracked | None:
    """An order that is followed, or ended a while ago; counted when there is none."""
    tracked = state.live.get(order) or state.ended.get(order)
    if tracked is None:
        state.counters.unmatched += 1
    return tracked


def move(
    state: ExecutionState, tracked: Tracked, status: OrderStatus, now: int, reason: str = ""
) -> OrderUpdate:
    """Put an order into its next state; the only place that does."""
    assert status in TRANSITIONS[tracked.status], f"{tracked.status} to {status}"
    tracked.status = status
    tracked.since = now
    if status in TERMINAL:
        _retire(state, tracked)
    return update_of(tracked, reason)


def _retire(state: ExecutionState, tracked: Tracked) -> None:
    del state.live[tracked.order]
    state.ended[tracked.order] = tracked
    if len(state.ended) > ENDED_MAX:
        del state.ended[next(iter(state.ended))]


def deny(state: ExecutionState, tracked: Tracked, reason: str, now: int) -> OrderUpdate:
    """Take an order up only to end it: it will not be sent."""
    state.live[tracked.order] = tracked
    return move(state, tracked, OrderStatus.DENIED, now, reason)


def doubt(state: ExecutionState, tracked: Tracked, reason: str, now: int) -> Sequence[Message]:
    """The request left and its answer proves nothing: ask at once."""
    if tracked.status not in (OrderStatus.PENDING_SUBMIT, OrderStatus.SUBMITTED):
        return NOTHING
    tracked.asks, tracked.asked_at = 1, now
    return move(state, tracked, OrderStatus.UNKNOWN, now, reason or NO_ANSWER), Query(order=tracked.order)


def found_working(state: ExecutionState, tracked: Tracked, now: int) -> list[Message]:
    """The venue holds the order."""
    if tracked.status is OrderStatus.PENDING_CANCEL or tracked.status in WORKING:
        return []
    status = OrderStatus.PARTIALLY_FILLED if tracked.traded else OrderStatus.ACCEPTED
    return [move(state, tracked, status, now), *cancel_if_wanted(state, tracked, now)]


def finish(
    state: ExecutionState, tracked: Tracked, status: AckStatus, now: int, reason: str
) -> Sequence[Message]:
    """The venue's last word on an order."""
    ending = ENDINGS[status]
    if ending is OrderStatus.REJECTED and (tracked.traded or tracked.status is OrderStatus.PENDING_CANCEL):
        ending = OrderStatus.CANCELED
    if ending not in TRANSITIONS[tracked.status]:
        state.counters.illegal += 1
        return NOTHING
    return (move(state, tracked, ending, now, reason),)


def cancel(state: ExecutionState, tracked: Tracked, reason: str, now: int) -> Sequence[Message]:
    """Cancel an order, now or as soon as the venue can know it."""
    if tracked.status in WORKING:
        tracked.cancel_reason = reason
        return cancel_if_wanted(state, tracked, now)
    if tracked.cancel_reason or tracked.status is OrderStatus.PENDING_CANCEL:
        return NOTHING
    tracked.cancel_reason = reason
    if tracked.status is OrderStatus.PENDING_SUBMIT:
        return NOTHING
    return (Cancel(order=tracked.order, reason=reason),)


def cancel_if_wanted(state: ExecutionState, tracked: Tracked, now: int) -> Sequence[Message]:
    """Cancel a working order of which that was asked before it worked."""
    reason = tracked.cancel_reason
    if not reason:
        return NOTHING
    pending = move(state, tracked, OrderStatus.PENDING_CANCEL, now, reason)
    return pending, Cancel(order=tracked.order, reason=reason)


def watch(state: ExecutionState, tracked: Tracked, params: ExecutionParams, now: int) -> Sequence[Message]:
    """What an order's waiting time asks for."""
    patience = params.ack_timeout_s * SECOND
    status = tracked.status
    if status in WORKING and tracked.time_in_force is TimeInForce.GTD:
        # The venue expires it by itself; a cancel makes sure.
        late = now >= tracked.expires_at + patience
        return cancel(state, tracked, "expired", now) if late else NOTHING
    waits = status in (OrderStatus.SUBMITTED, OrderStatus.UNKNOWN, OrderStatus.PENDING_CANCEL)
    if not waits and not (status in WORKING and tracked.ends_by_itself):
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
