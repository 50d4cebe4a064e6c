"""The order state machine: from a signed approval to a final state.

It decides nothing about size or price. It acts once on each verified approval, follows what the ledger and
the venue report, queries orders without an answer, and never treats silence as an answer.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from libs.machine.claims import approval_in
from libs.machine.machine import NOTHING, Stamp, StateMachine
from proto.execution import (
    NO_APPROVAL,
    TERMINAL,
    Cancel,
    Claim,
    OrderStatus,
    Refusal,
    RefusalReason,
    Unclaimed,
)
from proto.exit import ExitCancel
from proto.feed import FeedClock
from proto.ids import order_id, parse_message_id, venue_of
from proto.message import Message, as_text
from proto.monitor import Clock
from proto.operator import Command, Config, Session, Verb
from proto.risk import Approval
from proto.units import SECOND
from proto.venue import (
    Account,
    Ack,
    AckStatus,
    Correction,
    Fill,
    Reconciliation,
    Settlement,
    StatusReport,
    TradeState,
)
from services.execution import transitions
from services.execution.high_water import OrderKey, parse_order_id
from services.execution.orders import (
    Admission,
    AwaitingClaim,
    TrackedOrder,
    track_order,
    update_of,
)
from services.execution.params import ExecutionParams
from services.execution.state import ExecutionState, VenueRecord

ADOPTED_NS_MAX = 86_400 * SECOND
"""Claims of lost approvals are minutes old: a day is far more, and less than it takes to forget an order."""


class ExecutionMachine(StateMachine[ExecutionState]):
    """Tracks every order; see the README beside it for the crash argument."""

    name: ClassVar[str] = "execution"
    version: ClassVar[int] = 3
    """2: keeps the books of live venues, and asks at once about an order without a usable answer. 3: goes on from where
    time is when that is earlier than before."""
    reads_repeats: ClassVar[tuple[type[Message], ...]] = (Approval,)
    """An approval that is repeated is an attempt to send its order twice: it is refused, and the refusal published."""

    def __init__(self) -> None:
        super().__init__(ExecutionState())
        self.handlers = {
            Session: self._session,
            Config: self._config,
            Command: self._command,
            Approval: self._approval,
            Claim: self._claim,
            Unclaimed: self._unclaimed,
            Ack: self._ack,
            Fill: self._fill,
            Correction: self._correction,
            TradeState: self._trade,
            StatusReport: self._status_report,
            Settlement: self._settlement,
            Account: self._account,
            Reconciliation: self._reconciliation,
            ExitCancel: self._exit_cancel,
            Clock: self._clock,
            FeedClock: self._clock,
        }

    # ── for the shell ──

    @property
    def admission(self) -> Admission:
        """Which orders the shell may still claim."""
        return self.state.admission

    @property
    def live_venues(self) -> tuple[str, ...]:
        """Venues that get real orders."""
        params = self.state.params
        return () if params is None else params.live_venues

    def awaiting_claim(self) -> list[AwaitingClaim]:
        """Return the orders for which neither a claim nor the proof that there is none has been read, oldest first."""
        return [
            AwaitingClaim(
                order=tracked.order,
                message_id=tracked.message_id,
                expires_at=tracked.expires_at,
                reduce_only=tracked.reduce_only,
                cancel_reason=tracked.cancel_reason,
            )
            for tracked in self.state.live.values()
            if tracked.status is OrderStatus.PENDING_SUBMIT
        ]

    # ── the operator ──

    def _session(self, event: Session, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        state.tape = event.tape
        if event.halted:
            state.admission = Admission.HALTED
        state.clock_at = stamp.now
        self._rebase(stamp)
        return self._cancel_all(stamp, "halted") if event.halted else NOTHING

    def _rebase(self, stamp: Stamp) -> None:
        """Time starts again earlier: what was being waited for must not wait for the old time."""
        for tracked in self.state.live.values():
            tracked.since = min(tracked.since, stamp.now)
            tracked.asked_at = min(tracked.asked_at, stamp.now)

    def _config(self, event: Config, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002  (the handlers' shape)
        if event.section == "execution":
            self.state.params = ExecutionParams.model_validate(event.document)
        return NOTHING

    def _command(self, event: Command, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        if event.verb is Verb.RESUME and not event.close_only:
            state.admission = Admission.OPEN
        elif event.verb is Verb.HALT:
            state.admission = Admission.HALTED
            return self._cancel_all(stamp, "halted")
        elif event.verb in (Verb.CLOSE_ONLY, Verb.RESUME):
            state.admission = Admission.CLOSE_ONLY
            return self._cancel_all(stamp, "close_only")
        return NOTHING

    def _cancel_all(self, stamp: Stamp, reason: str) -> Sequence[Message]:
        """Cancel every live order that the admission would not let through now."""
        outputs: list[Message] = []
        for tracked in self.state.live.values():
            if not self.state.admission.may_submit(tracked.reduce_only):
                outputs.extend(transitions.cancel(self.state, tracked, reason, stamp.now))
        return outputs

    # ── approvals and claims ──

    def _approval(self, event: Approval, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        if state.params is None:
            return NOTHING
        if not stamp.verified:
            return (_refuse(event, RefusalReason.SIGNATURE, stamp),)
        origin = parse_message_id(stamp.message_id)
        if (
            origin is None
            or origin.producer != "risk"
            or event.order != order_id(origin.tape, origin.cause, origin.index)
        ):
            return (_refuse(event, RefusalReason.MISMATCH, stamp),)
        key = OrderKey(origin.tape, origin.cause, origin.index)
        if state.used.is_used(key):
            return (_refuse(event, RefusalReason.REPEATED, stamp),)
        state.used.mark_used(key)
        tracked = track_order(event, stamp)
        if origin.tape != state.tape:
            # Decided before a new epoch began: never sent, and its reservation is given back.
            denied = transitions.deny(state, tracked, "other_tape", stamp.now)
            return _refuse(event, RefusalReason.MISMATCH, stamp), denied
        if stamp.now >= event.expires_at:
            denied = transitions.deny(state, tracked, "expired", stamp.now)
            return _refuse(event, RefusalReason.EXPIRED, stamp), denied
        if not state.admission.may_submit(event.reduce_only):
            return (transitions.deny(state, tracked, state.admission.value, stamp.now),)
        state.live[event.order] = tracked
        return (update_of(tracked),)

    def _claim(self, event: Claim, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        if not stamp.verified:
            state.counters.unverified_claims += 1
            return NOTHING
        tracked = state.live.get(event.order)
        if tracked is None:
            ended = state.ended.get(event.order)
            return self._adopt(event, stamp) if ended is None else self._claim_of_ended(ended)
        if tracked.claimed:
            return NOTHING
        tracked.claimed = True
        if tracked.status is not OrderStatus.PENDING_SUBMIT:
            return NOTHING
        submitted = transitions.move(state, tracked, OrderStatus.SUBMITTED, stamp.now)
        if not tracked.cancel_reason and not state.admission.may_submit(tracked.reduce_only):
            tracked.cancel_reason = state.admission.value
        if tracked.cancel_reason:
            return submitted, Cancel(order=tracked.order, reason=tracked.cancel_reason)
        return (submitted,)

    def _adopt(self, claim: Claim, stamp: Stamp) -> Sequence[Message]:
        """Adopt a claim without its approval: the tape lost its tail and the ledger did not.

        The order may be at the venue. It is tracked from here on, so that its exposure is reserved, and
        cancelled. One that ended long ago, and was forgotten here, is not adopted.
        """
        approval = approval_in(claim)
        if approval is None or stamp.now > approval.expires_at + ADOPTED_NS_MAX:
            self.state.counters.unmatched += 1
            return NOTHING
        tracked = track_order(approval, msgspec.structs.replace(stamp, message_id=claim.message_id))
        key = parse_order_id(claim.order)
        if key is not None:
            self.state.used.mark_used(key)
        tracked.claimed = True
        tracked.cancel_reason = NO_APPROVAL
        self.state.live[tracked.order] = tracked
        submitted = transitions.move(self.state, tracked, OrderStatus.SUBMITTED, stamp.now, NO_APPROVAL)
        return submitted, Cancel(order=tracked.order, reason=NO_APPROVAL)

    def _claim_of_ended(self, ended: TrackedOrder) -> Sequence[Message]:
        first, ended.claimed = not ended.claimed, True
        if first and ended.status is OrderStatus.DENIED:
            # Sent although it was denied here: whatever became of it, it must not go on working.
            return (Cancel(order=ended.order, reason=ended.status.value),)
        return NOTHING

    def _unclaimed(self, event: Unclaimed, stamp: Stamp) -> Sequence[Message]:
        tracked = self.state.live.get(event.order)
        if tracked is None or tracked.status is not OrderStatus.PENDING_SUBMIT:
            self.state.counters.illegal += 1
            return NOTHING
        return (transitions.move(self.state, tracked, OrderStatus.DENIED, stamp.now, event.reason),)

    # ── the venue ──

    def _ack(self, event: Ack, stamp: Stamp) -> Sequence[Message]:
        tracked = self.state.live.get(event.order)
        if tracked is None:
            return self._ack_of_ended(event)
        tracked.venue_order_id = event.venue_order_id or tracked.venue_order_id
        if event.status is AckStatus.UNKNOWN:
            return transitions.mark_unknown(self.state, tracked, event.reason, stamp.now)
        if event.status is AckStatus.ACCEPTED:
            return transitions.mark_working(self.state, tracked, stamp.now)
        return transitions.finish(self.state, tracked, event.status, stamp.now, event.reason)

    def _ack_of_ended(self, event: Ack) -> Sequence[Message]:
        ended = self.state.ended.get(event.order)
        if ended is None:
            self.state.counters.unmatched += 1
        elif event.status is AckStatus.ACCEPTED and ended.status in (
            OrderStatus.DENIED,
            OrderStatus.REJECTED,
        ):
            return (Cancel(order=event.order, reason=ended.status.value),)
        return NOTHING

    def _fill(self, event: Fill, stamp: Stamp) -> Sequence[Message]:
        self._apply(venue_of(event.market), event)
        tracked = transitions.tracked_order(self.state, event.order)
        if tracked is None or event.fill_id in tracked.fills:
            return NOTHING
        tracked.fills[event.fill_id] = event.quantity
        tracked.traded += event.quantity
        if event.fill_id in tracked.voided:
            tracked.undone += event.quantity
        if tracked.traded > tracked.quantity:
            self.state.counters.overfilled += 1
        if tracked.status in TERMINAL:
            return (update_of(tracked, "late_fill"),)
        if tracked.remaining == 0:
            return (transitions.move(self.state, tracked, OrderStatus.FILLED, stamp.now),)
        if tracked.status in (OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_CANCEL):
            return (update_of(tracked),)
        moved = transitions.move(self.state, tracked, OrderStatus.PARTIALLY_FILLED, stamp.now)
        return (moved, *transitions.cancel_if_requested(self.state, tracked, stamp.now))

    def _correction(self, event: Correction, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        tracked = transitions.tracked_order(self.state, event.order)
        for venue in self.live_venues:
            if tracked is None or venue_of(tracked.market) == venue:
                self._apply(venue, event)
        if tracked is None or event.fill_id in tracked.voided:
            return NOTHING
        tracked.voided[event.fill_id] = 1
        quantity = tracked.fills.get(event.fill_id, 0)
        tracked.undone += quantity
        return (update_of(tracked, "correction"),) if quantity else NOTHING

    def _status_report(self, event: StatusReport, stamp: Stamp) -> Sequence[Message]:
        tracked = self.state.live.get(event.order)
        if tracked is None or tracked.status is OrderStatus.PENDING_SUBMIT:
            return NOTHING
        if not event.found:
            return transitions.finish(self.state, tracked, AckStatus.REJECTED, stamp.now, "absent")
        if event.status is None or event.status is AckStatus.UNKNOWN:
            return NOTHING
        if event.status is not AckStatus.ACCEPTED:
            return transitions.finish(self.state, tracked, event.status, stamp.now, "reconciled")
        if tracked.status is OrderStatus.PENDING_CANCEL:
            return (Cancel(order=tracked.order, reason="still_working"),)
        return transitions.mark_working(self.state, tracked, stamp.now)

    # ── the books of live venues ──

    def _settlement(self, event: Settlement, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        return self._apply(venue_of(event.market), event)

    def _account(self, event: Account, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        return self._apply(event.venue, event)

    def _apply(self, venue: str, event: Message) -> Sequence[Message]:
        if venue in self.live_venues:
            self.state.venues.setdefault(venue, VenueRecord()).portfolio.apply(event)
        return NOTHING

    def _trade(self, event: TradeState, stamp: Stamp) -> Sequence[Message]:
        venue, state = venue_of(event.instrument), self.state
        if venue in self.live_venues:
            tracked = state.order(event.order)
            venue_order_id = tracked.venue_order_id if tracked is not None else ""
            state.venues.setdefault(venue, VenueRecord()).track_fill(event, venue_order_id, stamp.now)
        return NOTHING

    def _reconciliation(self, event: Reconciliation, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        if event.complete and event.venue in self.live_venues:
            self.state.venues.setdefault(event.venue, VenueRecord()).reconciled_at = event.at
        return NOTHING

    # ── cancels and time ──

    def _exit_cancel(self, event: ExitCancel, stamp: Stamp) -> Sequence[Message]:
        tracked = self.state.live.get(event.order)
        if tracked is None:
            return NOTHING
        return transitions.cancel(self.state, tracked, event.reason or "exit", stamp.now)

    def _clock(self, event: Clock | FeedClock, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        state = self.state
        if stamp.now < state.clock_at:
            self._rebase(stamp)
        state.clock_at = stamp.now
        if not state.live or state.params is None:
            return NOTHING
        outputs: list[Message] = []
        for tracked in state.live.values():
            outputs.extend(transitions.check_timeouts(state, tracked, state.params, stamp.now))
        return outputs


def _refuse(approval: Approval, reason: RefusalReason, stamp: Stamp) -> Refusal:
    return Refusal(order=approval.order, reason=reason, message_id=as_text(stamp.message_id))
