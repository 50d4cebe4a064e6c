"""Rules about orders: approved before sent, sent once, and never standing still unseen."""

from libs.bounded import keep_newest
from proto.execution import TERMINAL, Claim, OrderStatus, OrderUpdate, Refusal, RefusalReason
from proto.monitor import Severity
from proto.risk import Approval, TimeInForce
from proto.units import SECOND
from services.monitor.board import Board
from services.monitor.state import FinishedOrder, MonitorState, OrderRecord

FINISHED_ORDERS_MAX = 4_096
"""Orders remembered after their end: days of trading, a few hundred kilobytes of snapshot."""

STUCK = "stuck_order"
UNKNOWN = "unknown_order"
REFUSED = "approval_refused"
UNAPPROVED = "order_without_approval"
CLAIM_UNAPPROVED = "claim_without_approval"
CLAIM_REPEATED = "claim_repeated"
SENT_EXCEEDS_APPROVED = "sent_exceeds_approved"

_RESTING = (OrderStatus.ACCEPTED.value, OrderStatus.PARTIALLY_FILLED.value)
_ORDERS_TOPIC = "orders"


def on_approval(
    state: MonitorState, board: Board, approval: Approval, message_id: str, *, verified: bool
) -> None:
    """Remember what risk allowed. One whose signature does not verify allows nothing."""
    if not verified:
        _refused(board, approval.order, RefusalReason.SIGNATURE, message_id)
        return
    if approval.order in state.finished:
        return
    record = state.orders.get(approval.order)
    if record is None:
        record = OrderRecord(instrument="", market="", progress_at=board.now)
        state.orders[approval.order] = record
    if record.approved:
        return
    state.approved_count += 1
    record.approved = True
    record.instrument = approval.instrument
    record.market = approval.market
    record.reduce_only = approval.reduce_only
    record.immediate = approval.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)


def on_update(state: MonitorState, board: Board, update: OrderUpdate) -> None:
    """Follow an order through its states."""
    record = state.orders.get(update.order)
    finished = state.finished.get(update.order)
    approved = record.approved if record else finished is not None and finished.approved
    # Denied is what should happen to an order without approval.
    if not approved and update.status is not OrderStatus.DENIED:
        text = f"{update.instrument}: {update.status.value} without an approval on the tape"
        board.notice(UNAPPROVED, Severity.CRITICAL, update.order, text)
    if update.status in TERMINAL:
        _finish(state, board, update.order, update.status.value)
        return
    if record is None:
        # A late or stray message must not revive an order that is over.
        if finished is not None:
            return
        record = OrderRecord(instrument="", market="", progress_at=board.now)
        state.orders[update.order] = record
    _progress(board, record, update)


def _progress(board: Board, record: OrderRecord, update: OrderUpdate) -> None:
    if record.status != update.status.value or record.filled != update.filled:
        record.progress_at = board.now
        board.over(STUCK, update.order, f"now {update.status.value}")
    if update.status is OrderStatus.UNKNOWN:
        text = f"{update.instrument}: the venue may or may not have it; exposure stays reserved"
        board.alert(UNKNOWN, Severity.WARNING, update.order, text)
    else:
        board.over(UNKNOWN, update.order, f"now {update.status.value}")
    record.instrument = update.instrument
    record.market = update.market
    record.status = update.status.value
    record.filled = update.filled
    record.reduce_only = update.reduce_only


def on_refusal(state: MonitorState, board: Board, refusal: Refusal) -> None:
    """Execution did not act on an approval: somebody must know, whatever the reason."""
    _refused(board, refusal.order, refusal.reason, refusal.message_id)
    record = state.orders.get(refusal.order)
    # Only expiry ends the order itself; a forged copy says nothing about the genuine one.
    if record is not None and not record.status and refusal.reason is RefusalReason.EXPIRED:
        _finish(state, board, refusal.order, "expired before it was sent")


def on_claim(state: MonitorState, board: Board, claim: Claim, *, verified: bool) -> None:
    """An order is being sent: once, and only if risk allowed it. A forged claim sends nothing."""
    if not verified:
        text = "a claim whose approval does not verify; no gateway acts on it"
        board.notice(CLAIM_UNAPPROVED, Severity.CRITICAL, claim.order, text)
        return
    record = state.orders.get(claim.order) or state.finished.get(claim.order)
    if record is None:
        record = OrderRecord(instrument="", market="", progress_at=board.now)
        state.orders[claim.order] = record
    if not record.approved:
        text = "an order was sent that no approval on the tape allows"
        board.notice(CLAIM_UNAPPROVED, Severity.CRITICAL, claim.order, text)
    if record.claimed:
        board.notice(CLAIM_REPEATED, Severity.CRITICAL, claim.order, "claimed a second time")
        return
    record.claimed = True
    state.claimed_count += 1
    if state.claimed_count > state.approved_count:
        text = f"{state.claimed_count} orders were sent, {state.approved_count} were approved"
        board.alert(SENT_EXCEEDS_APPROVED, Severity.CRITICAL, _ORDERS_TOPIC, text)


def sweep(state: MonitorState, board: Board) -> None:
    """Raise what has stood still for too long."""
    params = state.params
    if params is None:
        return
    for order, record in state.orders.items():
        resting = record.status in _RESTING and not record.immediate and record.market not in state.settled
        limit_s = params.resting_order_s if resting else params.stuck_order_s
        if board.now - record.progress_at > limit_s * SECOND:
            severity = Severity.WARNING if resting else Severity.CRITICAL
            status = record.status or ("approved" if record.approved else "claimed")
            text = f"{record.instrument or 'unknown instrument'}: {status} without progress for {limit_s} s"
            board.alert(STUCK, severity, order, text)


def is_approved(state: MonitorState, order: str) -> bool:
    """Whether an approval of the order was read."""
    record = state.orders.get(order) or state.finished.get(order)
    return record is not None and record.approved


def rebase(state: MonitorState, now: int) -> None:
    """Session time has jumped: every order's time starts again."""
    for record in state.orders.values():
        record.progress_at = now


def _refused(board: Board, order: str, reason: RefusalReason, message_id: str) -> None:
    # Expiry happens when something is slow; the other reasons happen when somebody interferes.
    severity = Severity.WARNING if reason is RefusalReason.EXPIRED else Severity.CRITICAL
    topic = f"{order} {message_id}" if message_id else order
    board.notice(REFUSED, severity, topic, f"approval of {order} refused: {reason.value}")


def _finish(state: MonitorState, board: Board, order: str, how: str) -> None:
    record = state.orders.pop(order, None)
    board.over(STUCK, order, how)
    board.over(UNKNOWN, order, how)
    if order in state.finished:
        return
    keep_newest(state.finished, FINISHED_ORDERS_MAX - 1)
    state.finished[order] = FinishedOrder(
        approved=record is not None and record.approved, claimed=record is not None and record.claimed
    )
