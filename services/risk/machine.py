"""The risk machine: every order the system may place begins here.

Entries (``signal.proposal``) are sized, then all entry checks are evaluated; exits
(``exit.proposal``) pass the same hop under the reduce-only policy, which no entry limit can block. An
approval reserves what the order may take until the order is terminal and its fills have arrived.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from libs.bounded import keep_newest
from libs.config.section import quick_to_read
from libs.indicators.grid import is_dust
from libs.machine.machine import NOTHING, Stamp, StateMachine
from proto.execution import NO_APPROVAL, TERMINAL, OrderUpdate
from proto.exit import ExitProposal
from proto.feed import Book, FeedClock, Gap, Market, Quote, Side
from proto.ids import order_id
from proto.message import Message, as_name
from proto.monitor import Clock
from proto.operator import Command, Config, Session, Verb
from proto.risk import RiskState, TimeInForce
from proto.signal import Proposal
from proto.units import ONE, SECOND, later
from proto.venue import Account, Correction, Fill, Settlement
from services.risk import answers, facts, outcomes, records, standing
from services.risk.checks import ENTRY_CHECKS, EXIT_CHECKS, CheckResult
from services.risk.desk_checks import DeskCheck, Scene, checks_set
from services.risk.exposure import Reservation
from services.risk.params import RiskParams
from services.risk.stakes import Stakes
from services.risk.state import BookView, State

MINUTE: Final = 60 * SECOND
SECTION: Final = "risk"
TIMES_IN_FORCE: Final = {word.value: word for word in TimeInForce}
GTD: Final = TimeInForce.GTD
SEEN_COUNT_MAX: Final = 10_000
"""Proposals remembered at most: they leave with their own expiry, this holds if one is set absurdly far."""


class RiskMachine(StateMachine[State]):
    """Decides on every order; see ``services/risk/README.md``."""

    name: ClassVar[str] = "risk"
    version: ClassVar[int] = 7
    """2: never sizes an order beyond what a message can carry.

    3: no entry while an answer is proposed or disputed; a market without a close trades past its expected end.
    4: keeps to the venue's least sizes, and counts nothing that is below its lot.
    5: lets exits alone through once the clock has jumped. 6: no entry into a market that has paid and is open again.
    7: what may rest and reaches the best offer keeps to the least value of what trades at once.
    """

    def __init__(self) -> None:
        super().__init__(State())
        self._start()
        self.handlers = {
            Quote: self._on_quote,
            Book: self._on_book,
            Market: self._on_market,
            Gap: self._on_gap,
            FeedClock: self._on_time,
            Clock: self._on_time,
            Proposal: self._on_proposal,
            ExitProposal: self._on_exit_proposal,
            OrderUpdate: self._on_order,
            Fill: self._on_fill,
            Settlement: self._on_settlement,
            Correction: self._on_correction,
            Account: self._on_account,
            Session: self._on_session,
            Config: self._on_config,
            Command: self._on_command,
        }

    def restore(self, state: bytes) -> None:
        super().restore(state)
        self._start()

    def _start(self) -> None:
        """Make what is kept beside the state, so that decisions need not look through all of it."""
        self.stakes = Stakes(self.state)
        self.state.approved_at.sort()
        self._limits: RiskParams | None = None
        self._limits_of: RiskParams | None = None
        self._desk_checks: tuple[DeskCheck, ...] = ()

    # ── introspection, for metrics and tests ──

    def reserved_exposure(self) -> int:
        """Money that open entries may still take, unknown and waiting ones included, in millionths."""
        return self.stakes.reserved

    def equity(self) -> int:
        """Cash and positions at the last bids, in millionths of a dollar."""
        return facts.equity(self.state, self.stakes)

    def exposure(self) -> int:
        """At stake in all: positions at cost and reserved orders, in millionths of a dollar."""
        return self.stakes.exposure

    def exposure_limit(self) -> int:
        """What ``heat_max`` allows at present equity, in millionths of a dollar; 0 without configuration."""
        return standing.exposure_limit(self.state, self.stakes)

    def headroom(self) -> dict[str, int]:
        """How much is left of the limits that run out: money in millionths, ``_count`` in things."""
        return standing.headroom(self.state, self.stakes)

    def risk_state(self) -> RiskState:
        """What risk lets through at present."""
        return standing.risk_state(self.state, self.stakes)

    # ── market data ──

    def _on_quote(self, event: Quote, stamp: Stamp) -> Sequence[Message]:
        fields = event.__dict__
        instrument, counter = fields["instrument"], fields["counter"]
        view = self.state.books.get(instrument)
        if view is None:
            # Nothing proves that this is the whole book: it waits for a snapshot.
            view = self.state.books[instrument] = BookView(counter - 1)
        if counter != view.counter + 1:
            view.gapped = True
        view.counter = counter
        view.at = stamp.now
        view.ask = fields["ask"]
        view.bid = bid = fields["bid"]
        if bid is not None:
            view.mark = bid
        return NOTHING

    def _on_book(self, event: Book, stamp: Stamp) -> Sequence[Message]:
        fields = event.__dict__
        instrument, counter = fields["instrument"], fields["counter"]
        view = self.state.books.get(instrument)
        if view is None:
            view = self.state.books[instrument] = BookView(counter - 1)
        if fields["snapshot"]:
            view.gapped = False
        elif counter != view.counter + 1:
            view.gapped = True
        view.counter = counter
        view.at = stamp.now
        view.bids = bids = fields["bids"]
        view.asks = asks = fields["asks"]
        view.ask = asks[0].price if asks else None
        if bids:
            view.bid = view.mark = bids[0].price
        else:
            view.bid = None
        return NOTHING

    def _on_gap(self, event: Gap, _stamp: Stamp) -> Sequence[Message]:
        prefix = f"{event.venue}:"
        for instrument, view in self.state.books.items():
            if instrument == event.instrument or (not event.instrument and instrument.startswith(prefix)):
                view.gapped = True
        return NOTHING

    def _on_market(self, event: Market, _stamp: Stamp) -> Sequence[Message]:
        self.stakes.count_market(self.state.markets.get(event.market), event)
        self.state.markets[event.market] = event
        for outcome in event.outcomes:
            self.state.market_of[outcome.instrument] = event.market
        return NOTHING

    # ── time ──

    def _on_time(self, _event: FeedClock | Clock, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        if state.params is None or not state.tape:
            return NOTHING
        if stamp.is_doubtful:
            # How old a book is, and when an approval ends, nobody knows; exits go on, and the operator resumes.
            state.close_only = True
        standing.advance(state, self.stakes, state.params, stamp.now)
        minute = stamp.now // MINUTE
        if minute == state.minute and not state.reservations:
            return NOTHING
        outputs: list[Message] = [
            answers.rejection(self._release(order), (check,)) for order, check in self._lapsed(stamp.now)
        ]
        if minute != state.minute:
            state.minute = minute
            standing.forget(state, state.params, stamp.now)
            self.stakes.count_groups()
            outcomes.measure(state, self.stakes, state.params)
            outputs.append(standing.report(state, self.stakes, stamp.now))
        return outputs

    def _lapsed(self, now: int) -> list[tuple[str, CheckResult]]:
        """Orders that waited for the operator too long, each with the check that says so."""
        return [
            (order, ("time_to_expiry_s", 0, (r.expires_at - now) // SECOND, False))
            for order, r in self.state.reservations.items()
            if r.pending and r.expires_at <= now
        ]

    # ── decisions ──

    def _on_proposal(self, event: Proposal, stamp: Stamp) -> Sequence[Message]:
        params = self._open_for(stamp, event.expires_at)
        if params is None:
            return NOTHING
        candidate = Reservation(
            strategy=event.strategy,
            market=event.market,
            instrument=event.instrument,
            side=event.side,
            price=event.price,
            approved_quantity=0,
            quantity=0,
            fee=0,
            time_in_force=TIMES_IN_FORCE[params.order_time_in_force],
            expires_at=event.expires_at,
            proposal=as_name(stamp.message_id),
            reduce_only=False,
            pending=False,
            fair_value=event.fair_value,
            reason=event.reason,
        )
        equity = standing.advance(self.state, self.stakes, params, stamp.now)
        ground = facts.ground(self.state, self.stakes, params, candidate, equity)
        candidate.quantity, candidate.fee = facts.size(params, candidate, ground)
        candidate.approved_quantity = candidate.quantity
        checks = self._check_entry(candidate, params, stamp.now, ground)
        return self._decide(candidate, checks, params, stamp, wait=params.autonomy == "semi")

    def _on_exit_proposal(self, event: ExitProposal, stamp: Stamp) -> Sequence[Message]:
        params = self._open_for(stamp, event.expires_at)
        if params is None:
            return NOTHING
        candidate = Reservation(
            strategy=event.strategy,
            market=event.market,
            instrument=event.instrument,
            side=event.side,
            price=event.price,
            approved_quantity=event.quantity,
            quantity=event.quantity,
            fee=0,
            time_in_force=event.time_in_force,
            expires_at=event.expires_at,
            proposal=as_name(stamp.message_id),
            reduce_only=True,
            pending=False,
            reason=event.reason.value,
        )
        checks = self._check_exit(candidate, params, stamp.now)
        wait = params.exits_wait and params.autonomy == "semi"
        return self._decide(candidate, checks, params, stamp, wait=wait)

    def _open_for(self, stamp: Stamp, expires_at: int) -> RiskParams | None:
        """The limits to decide by; ``None`` without any, before a session, or for a repeated proposal."""
        state = self.state
        if state.params is None or not state.tape or stamp.message_id in state.seen:
            return None
        limits = self._read_limits(state.params)
        state.seen[stamp.message_id] = expires_at
        if len(state.seen) > SEEN_COUNT_MAX:
            keep_newest(state.seen, SEEN_COUNT_MAX)
        return limits

    def _read_limits(self, params: RiskParams) -> RiskParams:
        """The limits, quick to read, and which checks they ask for."""
        if self._limits is None or self._limits_of is not params:
            self._limits, self._limits_of = quick_to_read(params), params
            self._desk_checks = checks_set(params)
        return self._limits

    def _decide(
        self,
        candidate: Reservation,
        checks: Sequence[CheckResult],
        params: RiskParams,
        stamp: Stamp,
        *,
        wait: bool,
    ) -> Sequence[Message]:
        failed = [check for check in checks if not check[3]]
        if failed:
            return (answers.rejection(candidate, failed),)
        order = order_id(self.state.tape, stamp.seq, stamp.index)
        if wait:
            candidate.pending = True
            # Not cut to the proposal's own expiry: people are slower than that, and the approval is
            # checked again against the book of its moment.
            candidate.expires_at = later(stamp.now, params.pending_ttl_s * SECOND)
            self._reserve(order, candidate)
            return (answers.pending(order, candidate),)
        candidate.pending = False
        if candidate.time_in_force is not GTD:
            # A GTD order rests until the expiry it asked for; all others must only arrive by it.
            candidate.expires_at = min(stamp.now + params.approval_ttl_s * SECOND, candidate.expires_at)
        self._reserve(order, candidate)
        if not candidate.reduce_only:
            standing.note_approval(self.state, stamp.now)
            self.state.repeated_at[facts.repeat_key(candidate)] = stamp.now
            self.state.rested_at[candidate.market] = stamp.now
        return (answers.approval(order, candidate, checks),)

    def _check_entry(
        self, candidate: Reservation, params: RiskParams, now: int, ground: facts.Ground
    ) -> list[CheckResult]:
        opening = facts.entry_facts(self.state, self.stakes, params, candidate, now, ground)
        results = [check(opening) for check in ENTRY_CHECKS]
        if self._desk_checks:
            scene = Scene(self.state, self.stakes, candidate, opening)
            results += [check(scene) for check in self._desk_checks]
        return results

    def _check_exit(self, candidate: Reservation, params: RiskParams, now: int) -> list[CheckResult]:
        closing = facts.exit_facts(self.state, self.stakes, params, candidate, now)
        return [check(closing) for check in EXIT_CHECKS]

    # ── what became of orders ──

    def _on_order(self, event: OrderUpdate, _stamp: Stamp) -> Sequence[Message]:
        reservation = self.state.reservations.get(event.order)
        if reservation is None and event.reason == NO_APPROVAL and event.status not in TERMINAL:
            self._reserve(event.order, _worst_case(event))
        if reservation is None or event.status not in TERMINAL:
            return NOTHING
        # Fills it reports that have not arrived stay reserved until they do.
        reservation.terminal = True
        reservation.quantity = max(event.filled, reservation.filled)
        if not reservation.remaining:
            del self.state.reservations[event.order]
        self.stakes.count_order(event.order)
        return NOTHING

    def _on_fill(self, event: Fill, stamp: Stamp) -> Sequence[Message]:
        state, portfolio = self.state, self.state.portfolio
        cash = portfolio.cash
        if not portfolio.apply(event):
            return NOTHING
        records.count_cash(state, event.market, event.fill_id, portfolio.cash - cash)
        records.count_lot(state, event)
        self.stakes.count_positions()
        reservation = state.reservations.get(event.order)
        if reservation is not None:
            reservation.filled += event.quantity
            if reservation.terminal and not reservation.remaining:
                del state.reservations[event.order]
            self.stakes.count_order(event.order)
        if state.params is not None:
            records.watch_fill(state, state.params, event, reservation, stamp.now)
        held = portfolio.quantity(event.instrument)
        if not held:
            reason = "" if reservation is None else reservation.reason
            records.count_trade(state, event.market, event.instrument, reason, stamp.now)
        if not held or is_dust(state.markets.get(event.market), held):
            state.rested_at[event.market] = stamp.now
        self._measure()
        return NOTHING

    def _measure(self) -> None:
        """What is held has changed: so have the figures of its tail."""
        if self.state.params is not None:
            outcomes.measure(self.state, self.stakes, self.state.params)

    def _on_settlement(self, event: Settlement, stamp: Stamp) -> Sequence[Message]:
        portfolio = self.state.portfolio
        cash, held = portfolio.cash, portfolio.quantity(event.instrument)
        portfolio.apply(event)
        records.count_cash(self.state, event.market, event.settlement_id, portfolio.cash - cash)
        if held:
            records.trim_lots(self.state, event.instrument)
            records.count_trade(self.state, event.market, event.instrument, "", stamp.now)
        self.stakes.count_positions()
        # A settled market trades no more: a reported fill that never came is not waited for.
        for order, reservation in list(self.state.reservations.items()):
            if reservation.terminal and reservation.market == event.market:
                self._release(order)
        self._measure()
        return NOTHING

    def _on_correction(self, event: Correction, _stamp: Stamp) -> Sequence[Message]:
        portfolio = self.state.portfolio
        cash = portfolio.cash
        portfolio.apply(event)
        records.count_cash(self.state, "", event.fill_id, portfolio.cash - cash)
        for instrument in list(self.state.lots):
            records.trim_lots(self.state, instrument)
        self.stakes.count_positions()
        self._measure()
        return NOTHING

    def _on_account(self, event: Account, _stamp: Stamp) -> Sequence[Message]:
        if self.state.portfolio.apply(event):
            records.open_cash(self.state, event)
            records.move_equity(self.state, event.deposit)
            # Money moved in or out is neither profit nor loss.
            self.state.day_equity += event.deposit
            self.state.peak_equity = max(self.state.peak_equity + event.deposit, 0)
        return NOTHING

    def _release(self, order: str) -> Reservation:
        released = self.state.reservations.pop(order)
        self.stakes.count_order(order)
        return released

    def _reserve(self, order: str, reservation: Reservation) -> None:
        self.state.reservations[order] = reservation
        self.stakes.count_order(order)

    # ── the operator ──

    def _on_session(self, event: Session, _stamp: Stamp) -> Sequence[Message]:
        state = self.state
        state.tape = event.tape
        state.halted = state.halted or event.halted
        state.recent_equity = []
        for view in state.books.values():
            # What happened between the sessions is unknown; the feed opens with snapshots.
            view.gapped = True
        return NOTHING

    def _on_config(self, event: Config, _stamp: Stamp) -> Sequence[Message]:
        if event.section == SECTION:
            self.state.params = RiskParams.model_validate(event.document)
            self._measure()
        return NOTHING

    def _on_command(self, event: Command, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        match event.verb:
            case Verb.HALT:
                state.halted = True
            case Verb.CLOSE_ONLY:
                state.close_only = True
            case Verb.RESUME:
                state.halted, state.close_only = False, event.close_only
                state.anomaly = state.loss_streak = 0
                state.recent_equity = []
                # The operator has seen the drawdown: it is counted anew. The day's loss stands.
                state.peak_equity = max(facts.equity(state, self.stakes), 0)
            case Verb.APPROVE:
                return self._on_approve(event.order, stamp)
            case Verb.DENY:
                return self._on_deny(event.order)
            case Verb.SKIP | Verb.FLATTEN | Verb.ACCEPT | Verb.REJECT:
                pass
        return NOTHING

    def _on_approve(self, order: str, stamp: Stamp) -> Sequence[Message]:
        params = self.state.params
        waiting = self.state.reservations.get(order)
        if params is None or waiting is None or not waiting.pending:
            return NOTHING
        candidate = self._release(order)
        self._read_limits(params)
        if candidate.reduce_only:
            checks = self._check_exit(candidate, params, stamp.now)
        else:
            equity = standing.advance(self.state, self.stakes, params, stamp.now)
            ground = facts.ground(self.state, self.stakes, params, candidate, equity)
            checks = self._check_entry(candidate, params, stamp.now, ground)
        return self._decide(candidate, checks, params, stamp, wait=False)

    def _on_deny(self, order: str) -> Sequence[Message]:
        waiting = self.state.reservations.get(order)
        if waiting is None or not waiting.pending:
            return NOTHING
        return (answers.rejection(self._release(order), (("operator", ONE, 0, False),)),)


def _worst_case(order: OrderUpdate) -> Reservation:
    """An order that this tape did not approve (it lost its tail): what it may cost at most, one a contract."""
    return Reservation(
        strategy=order.strategy,
        market=order.market,
        instrument=order.instrument,
        side=Side.SELL if order.reduce_only else Side.BUY,
        price=ONE,
        approved_quantity=order.remaining,
        quantity=order.remaining,
        fee=0,
        time_in_force=TimeInForce.GTC,
        expires_at=0,
        proposal="",
        reduce_only=order.reduce_only,
        pending=False,
        reason=order.reason,
    )
