"""The fold of a tape that makes a trading day."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from libs.bounded import keep_newest
from libs.evaluation.day import (
    ClosedTrade,
    Entry,
    Exit,
    Refused,
    RoleRecord,
    SignalCount,
    TradingDay,
    hour_of,
)
from libs.evaluation.prices import PriceWatch
from libs.forecasting.families import family_of
from libs.machine.timeline import Timeline
from libs.portfolio.payouts import payouts_of
from libs.portfolio.position import Entry as PositionEntry
from libs.portfolio.position import Position
from proto.advisor import Forecast, Lesson, ModelAnswer, Score
from proto.execution import OrderUpdate
from proto.exit import ExitProposal
from proto.feed import Book, Market, Quote, Side
from proto.ids import venue_of
from proto.message import Message
from proto.operator import Mode, Session
from proto.risk import Approval, Rejection
from proto.signal import Proposal
from proto.units import SECOND, notional
from proto.venue import Correction, Fill, Settlement

ROWS_MAX = 100_000
"""Rows of one kind in a day: ten times what the fastest strategy makes."""
PROPOSALS_KEPT = 20_000
"""A proposal is decided within seconds."""
ORDERS_KEPT = 50_000
FILLS_KEPT = 100_000
REPEAT_NS = 300 * SECOND
"""A proposal that is refused again and again within five minutes was refused once."""
SETTLED = "settled"
SCOPE_ROLE = "role"


class _Proposed(NamedTuple):
    edge: int
    bid: int | None
    ask: int | None


class _Leaving(NamedTuple):
    reason: str
    bid: int | None
    ask: int | None


@dataclass
class _Round:
    """A position that is not closed yet."""

    position: Position = field(default_factory=Position)
    fills: list[Fill] = field(default_factory=list)
    opened_at: int = 0
    seq: int = 0


class DayFold:
    """Feed it messages of a tape in order; ``finish`` gives the day from ``began_at`` to ``ended_at`` (ns, its end out).

    What comes before the day makes it known what is held, what comes after it what became of the day's prices. With
    ``ended_at`` 0 the day is all that is fed after ``began_at``.
    """

    def __init__(self, began_at: int = 0, ended_at: int = 0) -> None:
        self.day = TradingDay(began_at, ended_at)
        self._prices = PriceWatch()
        self._timeline = Timeline()
        self._markets: dict[str, Market] = {}
        self._families: dict[str, str] = {}
        self._proposals: dict[str, _Proposed] = {}
        self._leaving: dict[str, _Leaving] = {}
        self._entries: dict[str, Entry] = {}
        self._exits: dict[str, Exit] = {}
        self._rounds: dict[str, _Round] = {}
        self._seen_fills: dict[str, Fill] = {}
        self._refused: dict[tuple[str, str, str, tuple[str, ...]], Refused] = {}
        self._first_at = 0
        self._handlers: dict[type[Message], Callable[[Any, int, int, str], None]] = {
            Market: self._on_market,
            Proposal: self._on_proposal,
            ExitProposal: self._on_exit_proposal,
            Approval: self._on_approval,
            Rejection: self._on_rejection,
            OrderUpdate: self._on_order,
            Fill: self._on_fill,
            Correction: self._on_correction,
            Settlement: self._on_settlement,
            Score: self._on_score,
            ModelAnswer: self._on_answer,
            Forecast: self._on_forecast,
            Lesson: self._on_lesson,
        }

    def begin(self, at: int) -> None:
        """What was between is left out: in a live session, where time moves by seconds, it is ``at`` now."""
        if self._timeline.mode is Mode.REALTIME:
            self._timeline.now = at
            self._timeline.apart = 0
            self._timeline.is_fresh = True

    @property
    def reads(self) -> tuple[type[Message], ...]:
        """Kinds that are not prices: what has to be known of the time before the day."""
        return (Session, *self._handlers)

    def add(self, message: Message, seq: int, stored_at: int, message_id: str = "") -> None:
        """Take one message. ``stored_at``: when the broker stored it, 0 where there is no broker."""
        now = self._timeline.observe(message, stored_at)
        kind = type(message)
        if kind is Quote:
            self._prices.advance(now)
            self._prices.on_price(message.instrument, message.bid, message.ask)  # type: ignore[attr-defined]
        elif kind is Book:
            self._prices.advance(now)
            bids, asks = message.bids, message.asks  # type: ignore[attr-defined]
            self._prices.on_price(
                message.instrument,  # type: ignore[attr-defined]
                bids[0].price if bids else None,
                asks[0].price if asks else None,
            )
        elif (handle := self._handlers.get(kind)) is not None:
            self._prices.advance(now)
            handle(message, seq, now, message_id)
        if self._is_in(now):
            self.day.messages += 1
            self._first_at = self._first_at or now

    def finish(self) -> TradingDay:
        """The day."""
        self._prices.finish()
        day = self.day
        day.began_at = max(day.began_at, self._first_at)
        # A day that is not over has come as far as the tape.
        day.ended_at = min(day.ended_at or self._timeline.now, self._timeline.now)
        day.left_out += self._prices.unwatched
        return day

    def _is_in(self, at: int) -> bool:
        return at > 0 and self.day.began_at <= at and (not self.day.ended_at or at < self.day.ended_at)

    def _keep(self, rows: list[Any], row: Any) -> None:
        if len(rows) < ROWS_MAX:
            rows.append(row)
        else:
            self.day.left_out += 1

    # ── markets ──

    def _on_market(self, market: Market, _seq: int, _now: int, _id: str) -> None:
        known = self._markets.get(market.market)
        for instrument, price in payouts_of(market).items():
            self._prices.on_payout(instrument, price)
        if known is None or market.outcomes:
            self._markets[market.market] = market
            keep_newest(self._markets, ORDERS_KEPT)
            if market.open_at or market.market not in self._families:
                self._families[market.market] = family_of(market)
                keep_newest(self._families, ORDERS_KEPT)

    def _family(self, market: str) -> str:
        return self._families.get(market, "unknown")

    def _ends_at(self, market: str) -> int:
        known = self._markets.get(market)
        return known.ends_at if known is not None else 0

    # ── signals and decisions ──

    def _on_proposal(self, proposal: Proposal, seq: int, now: int, message_id: str) -> None:
        top = self._prices.top(proposal.instrument)
        self._proposals[message_id or str(seq)] = _Proposed(proposal.edge, *top)
        keep_newest(self._proposals, PROPOSALS_KEPT)
        if self._is_in(now):
            count = self._signals(proposal.strategy, proposal.market, now)
            count.proposals += 1
            count.edge += proposal.edge

    def _signals(self, strategy: str, market: str, now: int) -> SignalCount:
        return self.day.signals.setdefault((strategy, self._family(market), hour_of(now)), SignalCount())

    def _on_exit_proposal(self, proposal: ExitProposal, _seq: int, _now: int, message_id: str) -> None:
        self._leaving[message_id] = _Leaving(proposal.reason.value, *self._prices.top(proposal.instrument))
        keep_newest(self._leaving, PROPOSALS_KEPT)

    def _on_approval(self, approval: Approval, _seq: int, now: int, _id: str) -> None:
        after = self._prices.watch(approval.instrument, now)
        if approval.reduce_only:
            leaving = self._leaving.get(approval.proposal, _Leaving(approval.reason or "exit", None, None))
            if leaving.bid is not None:
                after.bid, after.ask = leaving.bid, leaving.ask
            made = Exit(approval.order, now, approval.instrument, leaving.reason, after)
            self._exits[approval.order] = made
            keep_newest(self._exits, ORDERS_KEPT)
            if self._is_in(now):
                self._keep(self.day.exits, made)
            return
        proposed = self._proposals.get(approval.proposal, _Proposed(0, after.bid, after.ask))
        after.bid, after.ask = proposed.bid, proposed.ask
        entry = Entry(
            id=approval.order,
            at=now,
            strategy=approval.strategy,
            market=approval.market,
            instrument=approval.instrument,
            family=self._family(approval.market),
            price=approval.price,
            quantity=approval.quantity,
            edge=proposed.edge,
            ends_at=self._ends_at(approval.market),
            after=after,
        )
        self._entries[approval.order] = entry
        keep_newest(self._entries, ORDERS_KEPT)
        if self._is_in(now):
            self._keep(self.day.entries, entry)
            self._signals(approval.strategy, approval.market, now).approved += 1

    def _on_rejection(self, rejection: Rejection, seq: int, now: int, _id: str) -> None:
        if rejection.reduce_only or not self._is_in(now):
            return
        self._signals(rejection.strategy, rejection.market, now).rejected += 1
        checks = tuple(check.name for check in rejection.failed)
        topic = (rejection.strategy, rejection.instrument, rejection.side.value, checks)
        known = self._refused.get(topic)
        if known is not None and now - known.at < REPEAT_NS:
            known.count += 1
            return
        row = Refused(
            id=str(seq),
            at=now,
            strategy=rejection.strategy,
            market=rejection.market,
            instrument=rejection.instrument,
            family=self._family(rejection.market),
            venue=venue_of(rejection.market),
            price=rejection.price,
            checks=checks,
            after=self._prices.watch(rejection.instrument, now),
        )
        self._refused[topic] = row
        keep_newest(self._refused, ORDERS_KEPT)
        self._keep(self.day.refused, row)

    def _on_order(self, update: OrderUpdate, _seq: int, _now: int, _id: str) -> None:
        entry = self._entries.get(update.order)
        if entry is not None:
            entry.status, entry.reason = update.status.value, update.reason

    # ── money ──

    def _on_fill(self, fill: Fill, seq: int, now: int, _id: str) -> None:
        if fill.fill_id in self._seen_fills:
            return
        self._seen_fills[fill.fill_id] = fill
        keep_newest(self._seen_fills, FILLS_KEPT)
        value = notional(fill.price, fill.quantity)
        order = self._exits.get(fill.order) or self._entries.get(fill.order)
        if order is not None:
            order.filled += fill.quantity
            order.value += value
            order.fees += fill.fee
        going = self._rounds.setdefault(fill.instrument, _Round())
        if not going.fills:
            going.opened_at = now
        going.seq = seq
        going.fills.append(fill)
        going.position.fold(_part(fill))
        if not going.position.quantity:
            reason = self._exits[fill.order].reason if fill.order in self._exits else "exit"
            self._close(fill.instrument, going, now, reason)

    def _on_correction(self, correction: Correction, _seq: int, _now: int, _id: str) -> None:
        fill = self._seen_fills.get(correction.fill_id)
        if fill is None:
            return
        order = self._exits.get(fill.order) or self._entries.get(fill.order)
        if order is not None:
            order.filled -= fill.quantity
            order.value -= notional(fill.price, fill.quantity)
            order.fees -= fill.fee
        going = self._rounds.get(fill.instrument)
        if going is not None and fill in going.fills:
            going.fills.remove(fill)
            going.position = Position()
            for left in going.fills:
                going.position.fold(_part(left))

    def _on_settlement(self, settlement: Settlement, seq: int, now: int, _id: str) -> None:
        self._prices.on_payout(settlement.instrument, settlement.price)
        going = self._rounds.get(settlement.instrument)
        if going is None or not going.position.quantity:
            return
        going.seq = seq
        left = going.position.quantity
        going.position.close(settlement.price)
        self._close(settlement.instrument, going, now, SETTLED, notional(settlement.price, abs(left)))

    def _close(self, instrument: str, going: _Round, now: int, reason: str, paid: int = 0) -> None:
        del self._rounds[instrument]
        if not self._is_in(now):
            return
        first = going.fills[0]
        market = self._markets.get(first.market)
        ins = [fill for fill in going.fills if fill.side is first.side]
        outs = [fill for fill in going.fills if fill.side is not first.side]
        entries = _orders(self._entries, ins)
        exits = _orders(self._exits, outs)
        expected = sum(
            notional(self._entries[fill.order].edge, fill.quantity)
            for fill in ins
            if fill.order in self._entries
        )
        self._keep(
            self.day.trades,
            ClosedTrade(
                id=exits[-1].id if exits else entries[-1].id if entries else str(going.seq),
                strategy=first.strategy,
                market=first.market,
                instrument=instrument,
                family=self._family(first.market),
                opened_at=going.opened_at,
                closed_at=now,
                opens_at=market.open_at if market is not None else 0,
                ends_at=self._ends_at(first.market),
                quantity=sum(fill.quantity for fill in ins),
                entry_value=sum(notional(fill.price, fill.quantity) for fill in ins),
                exit_value=sum(notional(fill.price, fill.quantity) for fill in outs) + paid,
                fees=going.position.fees,
                profit=going.position.realised_profit - going.position.fees,
                expected=expected,
                ended=reason,
                left=tuple(exits),
                entries=tuple(entries),
            ),
        )

    # ── the advisor ──

    def _on_score(self, score: Score, seq: int, now: int, _id: str) -> None:
        if score.scope == SCOPE_ROLE and self._is_in(now):
            self.day.roles[(score.name, score.family)] = RoleRecord(
                score.name, score.family, str(seq), score.count, score.brier, score.brier_market
            )

    def _on_answer(self, answer: ModelAnswer, _seq: int, now: int, _id: str) -> None:
        if self._is_in(now):
            self.day.answers += 1
            self.day.role_cost[answer.role] = self.day.role_cost.get(answer.role, 0) + answer.cost

    def _on_forecast(self, _forecast: Forecast, _seq: int, now: int, _id: str) -> None:
        if self._is_in(now):
            self.day.forecasts += 1

    def _on_lesson(self, lesson: Lesson, _seq: int, now: int, _id: str) -> None:
        if self._is_in(now) and len(self.day.outcomes) < ROWS_MAX:
            self.day.outcomes[lesson.market] = lesson.gain


def _part(fill: Fill) -> PositionEntry:
    return PositionEntry(fill.instrument, fill.side is Side.BUY, fill.price, fill.quantity, fill.fee)


def _orders(known: dict[str, Any], fills: list[Fill]) -> list[Any]:
    """The orders of some fills, each once."""
    return [known[order] for order in dict.fromkeys(fill.order for fill in fills) if order in known]
