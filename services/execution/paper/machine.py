"""The paper venue: reads the real market and our orders, and answers like a gateway.

It is a machine of its own, hosted by execution's process. A claim on the tape is the submission; the
matching is ``libs/exchange``. It knows no strategy and no risk: it does what an exchange would do.
"""

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct, field

from libs.bounded import keep_newest
from libs.exchange.exchange import PaperExchange
from libs.exchange.orders import Accepted, Ended, EndReason, ExchangeOrder, Executed, Report
from libs.machine.claims import approval_in
from libs.machine.machine import NOTHING, Stamp, StateMachine
from libs.portfolio.payouts import payouts_of, settlement_id_of
from proto.execution import Cancel, Claim, Query
from proto.feed import Book, FeedClock, Gap, Market, Quote, Side, Trade
from proto.ids import natural_key, venue_of
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Config, Session
from proto.risk import Approval
from proto.units import MILLISECOND, as_money
from proto.venue import Account, Ack, AckStatus, Fill, Settlement, StatusReport
from services.execution.high_water import HighWaterMarks, parse_order_id
from services.execution.paper.params import PaperParams

VENUE = "paper"
EXECUTION = "execution"
FINISHED_MAX = 2_000
"""Finished orders remembered for look-ups; execution asks within a minute or not at all."""
PAID_MAX = 256
"""Paid markets remembered, should one be resolved anew: as many as the books keep."""


class SubmittedOrder(Struct):
    """An order the exchange holds, with what its fills report."""

    market: str
    instrument: str
    strategy: str
    side: Side
    quiet: bool = False


class PaperOutcome(Struct, array_like=True):
    """How an order ended; no status: it was reported absent."""

    status: AckStatus | None
    filled: int = 0
    remaining: int = 0


class PaperState(Struct):
    """``live_venues``: traded for real, so not here. ``traded``: markets in which an order of ours filled → their instruments, until they settle. ``paid``: those that did → what each got."""

    params: PaperParams | None = None
    live_venues: tuple[str, ...] = ()
    funded: bool = False
    submissions: int = 0
    ignored: int = 0
    exchange: PaperExchange = field(default_factory=PaperExchange)
    sent: dict[str, SubmittedOrder] = {}
    finished: dict[str, PaperOutcome] = {}
    forgotten: HighWaterMarks = field(default_factory=HighWaterMarks)
    traded: dict[str, dict[str, int]] = {}
    paid: dict[str, dict[str, int]] = {}


class PaperMachine(StateMachine[PaperState]):
    """An exchange on the observed market, with its account."""

    name: ClassVar[str] = "paper"
    version: ClassVar[int] = 5
    """2: takes no orders of venues that are traded for real. 3: pays out what the venue says, to the millionth, and
    refuses what is below the venue's least sizes.
    4: no single live message sets its time far ahead. 5: holds takers back where the market does, and cancels what
    rests when an event's book is cleared, and pays a market that is resolved anew once more."""

    def __init__(self) -> None:
        super().__init__(PaperState())
        self.handlers = {
            Quote: self._quote,
            Book: self._book,
            Trade: self._trade,
            Market: self._market,
            Gap: self._gap,
            FeedClock: self._clock,
            Clock: self._clock,
            Session: self._session,
            Config: self._config,
            Claim: self._claim,
            Cancel: self._cancel,
            Query: self._query,
        }

    # ── the market ──

    def _quote(self, event: Quote, stamp: Stamp) -> Sequence[Message]:
        reports = self.state.exchange.quote(event, stamp.now)
        return self._messages(reports, stamp.now) if reports else NOTHING

    def _book(self, event: Book, stamp: Stamp) -> Sequence[Message]:
        reports = self.state.exchange.book(event, stamp.now)
        return self._messages(reports, stamp.now) if reports else NOTHING

    def _trade(self, event: Trade, stamp: Stamp) -> Sequence[Message]:
        reports = self.state.exchange.trade(event, stamp.now)
        return self._messages(reports, stamp.now) if reports else NOTHING

    def _clock(self, event: Clock | FeedClock, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        reports = self.state.exchange.advance(stamp.now)
        return self._messages(reports, stamp.now) if reports else NOTHING

    def _gap(self, event: Gap, stamp: Stamp) -> Sequence[Message]:
        reports = self.state.exchange.advance(stamp.now)
        self.state.exchange.forget_books(event.venue, event.instrument)
        return self._messages(reports, stamp.now)

    def _market(self, event: Market, stamp: Stamp) -> Sequence[Message]:
        outputs = self._messages(self.state.exchange.market(event, stamp.now), stamp.now)
        return [*outputs, *self._payouts(event, stamp.now)]

    def _payouts(self, event: Market, now: int) -> list[Message]:
        """Pay what was traded of a settled market; once more where the venue has resolved it anew."""
        state = self.state
        is_ours = event.market in state.traded or event.market in state.paid
        payouts = payouts_of(event) if is_ours else {}
        if not payouts:
            return []
        before = state.paid.pop(event.market, {})
        instruments = {**before, **state.traded.pop(event.market, {})}
        state.paid[event.market] = {instrument: payouts.get(instrument, 0) for instrument in instruments}
        keep_newest(state.paid, PAID_MAX)
        return [
            Settlement(
                settlement_id=settlement_id_of(VENUE, instrument, before.get(instrument), price, now),
                market=event.market,
                instrument=instrument,
                price=price,
                at=now,
            )
            for instrument, price in state.paid[event.market].items()
            if before.get(instrument) != price
        ]

    # ── the operator ──

    def _session(self, event: Session, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        # What was on display belongs to the session before; the feed shows everything anew.
        self.state.exchange.forget_books()
        return NOTHING

    def _config(self, event: Config, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        if event.section == EXECUTION:
            state.live_venues = tuple(event.document.get("live_venues", ()))
        if event.section != VENUE:
            return NOTHING
        state.params = params = PaperParams.model_validate(event.document)
        state.exchange.latency = params.latency_ms * MILLISECOND
        state.exchange.precision = params.fee_precision
        if state.funded or state.live_venues:
            # Play money in the books of a real account would be sized with.
            return NOTHING
        state.funded = True
        return (
            Account(
                account_id=f"account:{VENUE}:start",
                venue=VENUE,
                deposit=params.starting_cash,
                at=stamp.now,
            ),
        )

    # ── orders ──

    def _claim(self, event: Claim, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        approval = approval_in(event) if stamp.verified and state.params is not None else None
        if state.params is None or approval is None or self._is_known(event.order) or self._is_live(approval):
            state.ignored += 1
            return NOTHING
        state.submissions += 1
        every = state.params.unanswered_every_n
        state.sent[event.order] = SubmittedOrder(
            market=approval.market,
            instrument=approval.instrument,
            strategy=approval.strategy,
            side=approval.side,
            quiet=bool(every) and state.submissions % every == 0,
        )
        new = ExchangeOrder(
            order=approval.order,
            market=approval.market,
            instrument=approval.instrument,
            buy=approval.side is Side.BUY,
            price=approval.price,
            quantity=approval.quantity,
            time_in_force=approval.time_in_force,
            expires_at=approval.expires_at,
            post_only=approval.post_only,
        )
        return self._messages(state.exchange.submit(new, stamp.now), stamp.now)

    def _is_live(self, approval: Approval) -> bool:
        return venue_of(approval.market) in self.state.live_venues

    def _is_known(self, order: str) -> bool:
        """Whether this order was submitted before, even if only its id remains, or was reported absent."""
        key = parse_order_id(order)
        return (
            order in self.state.sent
            or order in self.state.finished
            or (key is not None and self.state.forgotten.is_used(key))
        )

    def _cancel(self, event: Cancel, stamp: Stamp) -> Sequence[Message]:
        return self._messages(self.state.exchange.cancel(event.order, event.reason, stamp.now), stamp.now)

    def _query(self, event: Query, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        state = self.state
        if state.params is None:
            return NOTHING
        working = state.exchange.orders.get(event.order)
        if working is not None:
            return (
                StatusReport(
                    order=event.order,
                    found=True,
                    status=AckStatus.ACCEPTED if working.is_taken else None,
                    filled=working.filled,
                    remaining=working.remaining,
                ),
            )
        if event.order not in state.finished:
            if self._is_known(event.order):
                return (StatusReport(order=event.order, found=True),)
            if state.live_venues:
                # Very likely an order at a real venue: its absence is not ours to report.
                return NOTHING
            # Absence is a promise: a later claim of this order is ignored.
            self._finish(event.order, PaperOutcome(status=None))
        finished = state.finished[event.order]
        return (
            StatusReport(
                order=event.order,
                found=finished.status is not None,
                status=finished.status,
                filled=finished.filled,
                remaining=finished.remaining,
            ),
        )

    # ── reports ──

    def _messages(self, reports: Sequence[Report], now: int) -> list[Message]:
        """Turn the exchange's reports into the messages of a gateway."""
        outputs: list[Message] = []
        for report in reports:
            if isinstance(report, Executed):
                outputs.append(self._fill(report, now))
            elif isinstance(report, Accepted):
                if not self.state.sent[report.order].quiet:
                    outputs.append(_ack(report.order, AckStatus.ACCEPTED, report.quantity))
            else:
                outputs.extend(self._ended(report))
        return outputs

    def _fill(self, report: Executed, now: int) -> Fill:
        sent = self.state.sent[report.order]
        self.state.traded.setdefault(sent.market, {})[sent.instrument] = 1
        return Fill(
            fill_id=natural_key("fill", VENUE, report.order, str(report.number)),
            order=report.order,
            market=sent.market,
            instrument=sent.instrument,
            strategy=sent.strategy,
            side=sent.side,
            price=report.price,
            quantity=report.quantity,
            fee=as_money(report.fee),
            maker=report.maker,
            at=now,
        )

    def _ended(self, report: Ended) -> Sequence[Message]:
        del self.state.sent[report.order]
        status = _ENDINGS[report.reason]
        self._finish(report.order, PaperOutcome(status, report.filled, report.remaining))
        if report.reason is EndReason.FILLED:
            return NOTHING
        return (_ack(report.order, status, 0, report.detail),)

    def _finish(self, order: str, finished: PaperOutcome) -> None:
        memory = self.state.finished
        memory[order] = finished
        if len(memory) > FINISHED_MAX:
            oldest = next(iter(memory))
            del memory[oldest]
            key = parse_order_id(oldest)
            if key is not None:
                self.state.forgotten.mark_used(key)


_ENDINGS = {
    # A filled order is reported as accepted with nothing left.
    EndReason.FILLED: AckStatus.ACCEPTED,
    EndReason.CANCELED: AckStatus.CANCELED,
    EndReason.EXPIRED: AckStatus.EXPIRED,
    EndReason.REJECTED: AckStatus.REJECTED,
}


def _ack(order: str, status: AckStatus, remaining: int, reason: str = "") -> Ack:
    return Ack(
        order=order, status=status, remaining=remaining, venue_order_id=f"{VENUE}-{order}", reason=reason
    )
