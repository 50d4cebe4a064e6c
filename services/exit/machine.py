"""The exit machine: every position gets its targets, its stop, and its end before the market's."""

from collections.abc import Sequence
from typing import ClassVar

from libs.changes import book, limits
from libs.indicators.tops import Tops
from libs.machine.machine import NOTHING, Stamp, StateMachine
from libs.machine.routes import AfterTops
from proto.evaluation import ExitChange, Revert
from proto.execution import TERMINAL, OrderUpdate
from proto.exit import ExitReason, PositionStage
from proto.feed import Book, FeedClock, Gap, Market, MarketStatus, Quote, Side
from proto.message import Message
from proto.monitor import Clock
from proto.operator import Command, Config, Session, Verb
from proto.risk import Approval, ExitPortfolioReport, Rejection
from proto.signal import Proposal
from proto.units import SECOND, notional
from proto.venue import Account, Correction, Fill, Settlement
from services.exit import rules
from services.exit.decision import ExitDecision
from services.exit.params import ExitParams
from services.exit.state import ExitOrder, ExitState, Held, Step

MINUTE = 60 * SECOND
SECTION = "exit"


class ExitMachine(StateMachine[ExitState]):
    """Manages positions from their first fill to their end; see README.md."""

    name: ClassVar[str] = "exit"
    version: ClassVar[int] = 7
    """2: proposes what the venue takes, and is done with what is below its lot.
    3: goes on from where time is when that is earlier than before. 4: leaves disputed markets where it is told to.
    5: leaves what the operator says. 6: applies accepted changes of its settings.
    7: holds to settlement what was bought for it."""

    def __init__(self) -> None:
        super().__init__(ExitState())
        self.handlers = {
            Quote: self._on_quote,
            Book: self._on_book,
            Gap: self._on_gap,
            Market: self._on_market,
            Clock: self._on_clock,
            FeedClock: self._on_clock,
            Fill: self._on_fill,
            Settlement: self._on_settlement,
            Correction: self._on_correction,
            Account: self._on_account,
            Proposal: self._on_proposal,
            Approval: self._on_approval,
            Rejection: self._on_rejection,
            OrderUpdate: self._on_order,
            Session: self._on_session,
            Config: self._on_config,
            Command: self._on_command,
            Revert: self._on_revert,
        }

    # ── prices and markets ─────────────────────────────────────────────────────────────────────────

    @property
    def tops(self) -> Tops:
        return self.state.tops

    def after_tops(self) -> AfterTops:
        return AfterTops(self._after_quote, self.state.held, self._after_healing)

    def _on_quote(self, quote: Quote, stamp: Stamp) -> Sequence[Message]:
        self.state.tops.on_quote(quote)
        return self._after_quote(quote, stamp)

    def _after_quote(self, quote: Quote, stamp: Stamp) -> Sequence[Message]:
        held = self.state.held.get(quote.instrument)
        if held is None or held.stage is PositionStage.CLOSED:
            return NOTHING
        top = self.state.tops.tops.get(quote.instrument)
        return NOTHING if top is None else self._evaluate_bid(held, stamp, trusted=not top.gapped)

    def _on_book(self, book: Book, stamp: Stamp) -> Sequence[Message]:
        # Every change of the best price also comes as a Quote, so only a healing book is news.
        self.state.tops.on_book(book)
        return self._after_healing(book, stamp) if book.snapshot else NOTHING

    def _after_healing(self, book: Book, stamp: Stamp) -> Sequence[Message]:
        held = self.state.held.get(book.instrument)
        if held is None or held.stage is PositionStage.CLOSED:
            return NOTHING
        return self._evaluate_bid(held, stamp, trusted=True)

    def _evaluate_bid(self, held: Held, stamp: Stamp, *, trusted: bool) -> Sequence[Message]:
        decision = self._decision(stamp)
        if decision is None or not decision.evaluate_bid(
            held, self.state.tops.tops[held.instrument].bid, trusted
        ):
            return NOTHING
        decision.align_orders(held)
        return decision.out

    def _on_gap(self, gap: Gap, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        self.state.tops.on_gap(gap)
        return NOTHING

    def _on_market(self, market: Market, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        state = self.state
        if market.status is not MarketStatus.SETTLED:
            state.markets[market.market] = market
            return NOTHING
        state.markets.pop(market.market, None)
        for outcome in market.outcomes:
            state.tops.forget(outcome.instrument)
            held = state.held.get(outcome.instrument)
            if held is not None and not state.quantity(held):
                del state.held[outcome.instrument]
        return NOTHING

    # ── time ───────────────────────────────────────────────────────────────────────────────────────

    def _on_clock(self, clock: Clock | FeedClock, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        if stamp.now < self.state.clock_at:
            self._rebase(stamp)
        self.state.clock_at = stamp.now
        decision = self._decision(stamp)
        if decision is None:
            return NOTHING
        for held in self.state.held.values():
            if held.orders or held.stage is not PositionStage.CLOSED:
                decision.tick(held)
        for held in rules.to_reduce(self.state, decision.params):
            decision.leave(held, ExitReason.DRAWDOWN)
        minute = stamp.now // MINUTE
        if minute != self.state.minute:
            self.state.minute = minute
            decision.out.append(ExitPortfolioReport(digest=self.state.portfolio.digest(), at=stamp.now))
        return decision.out

    def _on_session(self, session: Session, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        state.tape = session.tape
        state.tops.on_session()
        state.clock_at = stamp.now
        self._rebase(stamp)
        for held in state.held.values():
            if held.proved_at:
                # While nothing ran nothing could prove a book: silence counts from here.
                held.proved_at = stamp.now
        return NOTHING

    def _rebase(self, stamp: Stamp) -> None:
        """Time starts again earlier: what was being waited for must not wait for the old time."""
        for held in self.state.held.values():
            held.target_at = min(held.target_at, stamp.now)
            held.close_at = min(held.close_at, stamp.now)
            held.reference_at = min(held.reference_at, stamp.now)
            held.opened_at = min(held.opened_at, stamp.now)
            held.proved_at = min(held.proved_at, stamp.now)
            for order in held.orders:
                order.proposed_at = min(order.proposed_at, stamp.now)
                order.cancel_at = min(order.cancel_at, stamp.now)

    def _on_config(self, config: Config, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        if config.section == limits.SECTION:
            state.changes.limits = limits.limits_in(config.document)
        if config.section != SECTION:
            return NOTHING
        document, over = book.configured(state.changes, SECTION, ExitParams.model_validate(config.document))
        params = state.params = ExitParams.model_validate(document)
        return [book.outcome(ExitChange, done, params, stamp.now) for done in over]

    def _on_command(self, command: Command, stamp: Stamp) -> Sequence[Message]:
        match command.verb:
            case Verb.RESUME:
                # The operator has seen the fall: it is counted anew.
                self.state.peak_equity, self.state.is_reduced = 0, False
            case Verb.FLATTEN:
                return self._flatten(command.instrument, stamp)
            case Verb.ACCEPT:
                params = self.state.params
                if params is None or limits.split_path(command.path)[0] != SECTION:
                    return NOTHING
                return self._change(
                    book.accept(self.state.changes, command, SECTION, params, stamp.now), params, stamp
                )
        return NOTHING

    def _on_revert(self, revert: Revert, stamp: Stamp) -> Sequence[Message]:
        params = self.state.params
        if params is None or revert.edit.section != SECTION:
            return NOTHING
        return self._change(book.revert(self.state.changes, revert, params, stamp.now), params, stamp)

    def _change(self, done: book.Applied, params: ExitParams, stamp: Stamp) -> Sequence[Message]:
        if done.document is not None:
            params = self.state.params = ExitParams.model_validate(done.document)
        return (book.outcome(ExitChange, done, params, stamp.now),)

    def _flatten(self, instrument: str, stamp: Stamp) -> Sequence[Message]:
        decision = self._decision(stamp)
        if decision is None:
            return NOTHING
        for held in self.state.held.values():
            if instrument in ("", held.instrument):
                decision.flatten(held)
        return decision.out

    # ── what happened to positions ─────────────────────────────────────────────────────────────────

    def _on_fill(self, fill: Fill, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        if not state.portfolio.apply(fill):
            return NOTHING
        held = state.held.get(fill.instrument)
        if held is None:
            if fill.side is Side.SELL:
                return NOTHING
            held = state.held[fill.instrument] = Held(fill.market, fill.instrument, fill.strategy)
        if fill.side is Side.SELL:
            self._fold_exit(held, fill)
        else:
            held.is_shared = held.is_shared or (bool(held.bought) and held.strategy != fill.strategy)
            held.strategy = fill.strategy
            held.bought += fill.quantity
            held.paid += notional(fill.price, fill.quantity)
        decision = self._decision(stamp)
        if decision is None:
            return NOTHING
        if fill.side is Side.BUY:
            decision.open(held)
        decision.align_orders(held)
        return decision.out

    def _fold_exit(self, held: Held, fill: Fill) -> None:
        order = held.order_named(fill.order)
        if order is None:
            return
        order.filled += fill.quantity
        if order.step is Step.FIRST:
            held.first_sold += fill.quantity
        held.drop_ended()

    def _on_settlement(self, settlement: Settlement, stamp: Stamp) -> Sequence[Message]:
        state = self.state
        state.portfolio.apply(settlement)
        held = state.held.pop(settlement.instrument, None)
        decision = self._decision(stamp)
        if held is None or decision is None or held.stage is PositionStage.CLOSED:
            return NOTHING
        decision.finish(held, "settlement")
        return decision.out

    def _on_correction(self, correction: Correction, stamp: Stamp) -> Sequence[Message]:
        """A fill was taken back: positions are what the portfolio says, entries are priced by it."""
        state = self.state
        before = {name: state.portfolio.quantity(name) for name in state.held}
        if not state.portfolio.apply(correction):
            return NOTHING
        decision = self._decision(stamp)
        for name, held in state.held.items():
            position = state.portfolio.position(name)
            if state.portfolio.quantity(name) == before[name]:
                continue
            if position is not None and position.quantity > 0:
                held.bought = position.quantity + held.first_sold
                held.paid = notional(position.entry_price, held.bought)
            if decision is not None:
                if position is not None:
                    decision.open(held)
                decision.align_orders(held)
        return decision.out if decision is not None else NOTHING

    def _on_account(self, account: Account, stamp: Stamp) -> Sequence[Message]:  # noqa: ARG002
        if self.state.portfolio.apply(account) and self.state.peak_equity:
            # Money moved in or out is neither profit nor loss.
            self.state.peak_equity = max(self.state.peak_equity + account.deposit, 0)
        return NOTHING

    def _on_proposal(self, proposal: Proposal, stamp: Stamp) -> Sequence[Message]:
        """A strategy wants an outcome: where that is set, what it bought of the market's other outcomes leaves."""
        decision = self._decision(stamp)
        if decision is None or decision.params.reversal != "exit" or proposal.side is not Side.BUY:
            return NOTHING
        for held in self.state.held.values():
            is_other = held.market == proposal.market and held.instrument != proposal.instrument
            if is_other and held.strategy == proposal.strategy:
                decision.leave(held, ExitReason.REVERSAL)
        return decision.out

    # ── what happened to exits ─────────────────────────────────────────────────────────────────────

    def _on_approval(self, approval: Approval, stamp: Stamp) -> Sequence[Message]:
        if not approval.reduce_only or not stamp.verified:
            return NOTHING
        held = self._held(approval)
        order = held.order_of_proposal(approval.proposal)
        if order is None:
            order = held.order_named(approval.order)
        if order is None:
            order = ExitOrder(Step.FOREIGN, approval.price, approval.quantity, stamp.now)
            held.orders.append(order)
        order.order = approval.order
        order.quantity = max(approval.quantity, order.filled)
        return self._align_orders(held, stamp)

    def _on_rejection(self, rejection: Rejection, stamp: Stamp) -> Sequence[Message]:
        held = self.state.held.get(rejection.instrument)
        order = None if held is None else held.order_of_proposal(rejection.proposal)
        if held is None or order is None or order.order:
            return NOTHING
        held.orders.remove(order)
        self._wait(held, order, stamp)
        return self._align_orders(held, stamp)

    def _on_order(self, update: OrderUpdate, stamp: Stamp) -> Sequence[Message]:
        terminal = update.status in TERMINAL
        if not update.reduce_only:
            held = self.state.held.get(update.instrument)
            if held is None or not terminal:
                return NOTHING
            # The entry is complete: its targets need not wait for more of it.
            held.target_at = min(held.target_at, stamp.now)
            return self._align_orders(held, stamp)
        held = self._held(update) if not terminal else self.state.held.get(update.instrument)
        order = None if held is None else held.order_named(update.order)
        if held is None or (order is None and terminal):
            return NOTHING
        if order is None:
            quantity = update.filled + update.remaining
            held.orders.append(
                ExitOrder(Step.FOREIGN, 0, quantity, stamp.now, order=update.order, filled=update.filled)
            )
        elif terminal:
            order.ended = True
            order.quantity = max(update.filled, order.filled)
            if not order.cancel_at and not order.quantity:
                self._wait(held, order, stamp)
            held.drop_ended()
        out = self._align_orders(held, stamp)
        self._forget_if_over(held)
        return out

    def _wait(self, held: Held, order: ExitOrder, stamp: Stamp) -> None:
        """A target came to nothing: try again later. Marketable exits keep their own interval."""
        params = self.state.params
        if order.step in (Step.FIRST, Step.REST) and params is not None:
            held.target_at = max(held.target_at, stamp.now + params.target_retry_s * SECOND)

    # ── helpers ────────────────────────────────────────────────────────────────────────────────────

    def _held(self, event: Approval | OrderUpdate) -> Held:
        """The position an exit belongs to; a closed one is made for an exit that has none."""
        held = self.state.held.get(event.instrument)
        if held is None:
            held = Held(event.market, event.instrument, event.strategy, PositionStage.CLOSED)
            self.state.held[event.instrument] = held
        return held

    def _forget_if_over(self, held: Held) -> None:
        """Drop a closed position of a market that is settled, once its last order has ended."""
        if held.stage is PositionStage.CLOSED and not held.orders and held.market not in self.state.markets:
            self.state.held.pop(held.instrument, None)

    def _decision(self, stamp: Stamp) -> ExitDecision | None:
        """A decision, if there is a session and a configuration; without them nothing is said."""
        params = self.state.params
        return ExitDecision(self.state, params, stamp) if params is not None and self.state.tape else None

    def _align_orders(self, held: Held, stamp: Stamp) -> Sequence[Message]:
        decision = self._decision(stamp)
        if decision is None:
            return NOTHING
        decision.align_orders(held)
        return decision.out
