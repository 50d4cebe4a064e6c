"""The monitor's machine: alerts from facts on the tape alone.

Deadlines are looked at when the session's clock ticks, so an alert needs time on the tape to pass,
and a market data message costs next to nothing when nothing is wrong.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from libs.bounded import keep_newest
from libs.machine.machine import NOTHING, Handler, Stamp, StateMachine
from proto import advisor, evaluation, execution, exit, feed, monitor, operator, risk, signal, venue
from proto.message import Message
from services.monitor import books, conditions, feeds, orders, positions, rollback, venues, watching
from services.monitor.board import Board
from services.monitor.conditions import AlertCondition, AlertsParams
from services.monitor.params import MonitorParams
from services.monitor.state import MonitorState

SECTION = "monitor"

ABOUT_MAX = 4_096
"""Instruments of which it is remembered which conditions are about them."""

Rule = Callable[[MonitorState, Board, Any], None]
"""What one kind of message means to one group of rules."""


class MonitorMachine(StateMachine[MonitorState]):
    """Reads the tape and says what an operator must know, once, and once when it is over."""

    name: ClassVar[str] = "monitor"
    version: ClassVar[int] = 5
    """2: watches live venues. 3: watches the session's clock. 4: a position held to settlement needs no
    working exit. 5: takes changes of settings back that do harm."""

    def __init__(self) -> None:
        super().__init__(MonitorState())
        self._quiet_until = 0
        self._about: dict[str, tuple[AlertCondition, ...]] = {}
        self.handlers = {
            feed.Quote: self._on_book,
            feed.Book: self._on_book,
            feed.Trade: self._on_trade,
            feed.Market: self._on_market,
            signal.Proposal: self._on_value,
            advisor.Forecast: self._on_value,
            feed.Gap: self._apply(feeds.on_gap),
            feed.FeedClock: self._on_clock,
            monitor.Clock: self._on_clock,
            operator.Session: self._on_session,
            operator.Config: self._on_config,
            operator.Command: self._apply(books.on_command),
            risk.Approval: self._on_approval,
            risk.Rejection: self._apply(books.on_rejection),
            risk.PortfolioReport: self._apply(books.on_risk_report),
            risk.ExitPortfolioReport: self._apply(books.on_exit_report),
            execution.OrderUpdate: self._apply(orders.on_update),
            execution.Refusal: self._apply(orders.on_refusal),
            execution.Claim: self._on_claim,
            venue.Fill: self._apply(positions.on_fill),
            venue.Correction: self._apply(positions.on_correction, venues.on_correction),
            venue.Settlement: self._apply(positions.on_settlement, venues.on_settlement),
            venue.TradeState: self._apply(venues.on_trade_state),
            venue.Reconciliation: self._apply(venues.on_reconciliation),
            exit.PositionUpdate: self._apply(positions.on_position_update),
            exit.ExitProposal: self._apply(positions.on_exit_proposal),
            evaluation.SignalChange: self._on_change,
            evaluation.ExitChange: self._on_change,
            evaluation.Counterfactual: self._on_counterfactual,
        }

    def restore(self, state: bytes) -> None:
        super().restore(state)
        self._quiet_until = 0
        self._about.clear()

    def _apply(self, *rules: Rule) -> Handler:
        def handle(event: Message, stamp: Stamp) -> Sequence[Message]:
            board = Board(self.state, stamp.now)
            for rule in rules:
                rule(self.state, board, event)
            return board.out

        return handle

    # The two handlers of the feed's hot path: the common case touches one record and allocates nothing.

    def _on_book(self, event: feed.Quote | feed.Book, stamp: Stamp) -> Sequence[Message]:
        if self.state.conditions and (about := self._conditions_about(event.instrument)):
            board = Board(self.state, stamp.now)
            watching.on_book(self.state, board, about, event)
            return [*self._follow_book(event, stamp), *board.out]
        return self._follow_book(event, stamp)

    def _on_trade(self, event: feed.Trade, stamp: Stamp) -> Sequence[Message]:
        if self.state.conditions and (about := self._conditions_about(event.instrument)):
            board = Board(self.state, stamp.now)
            watching.on_trade(self.state, board, about, event)
            return [*self._follow_trade(event, stamp), *board.out]
        return self._follow_trade(event, stamp)

    def _follow_book(self, event: feed.Quote | feed.Book, stamp: Stamp) -> Sequence[Message]:
        record = self.state.feeds.get(event.instrument)
        if record is not None and not record.attention and (counter := event.counter) == record.counter + 1:
            record.counter = counter
            record.seen_at = stamp.now
            return NOTHING
        return self._attend(event, stamp)

    def _follow_trade(self, event: feed.Trade, stamp: Stamp) -> Sequence[Message]:
        record = self.state.feeds.get(event.instrument)
        if record is not None and not record.attention:
            record.seen_at = stamp.now
            return NOTHING
        return self._attend(event, stamp)

    def _attend(self, event: feed.Quote | feed.Book | feed.Trade, stamp: Stamp) -> Sequence[Message]:
        board = Board(self.state, stamp.now)
        feeds.on_message(self.state, board, event)
        return board.out

    def _conditions_about(self, instrument: str) -> tuple[AlertCondition, ...]:
        about = self._about.get(instrument)
        if about is None:
            about = self._about[instrument] = watching.conditions_about(self.state, instrument)
            keep_newest(self._about, ABOUT_MAX)
        return about

    def _on_value(self, event: signal.Proposal | advisor.Forecast, stamp: Stamp) -> Sequence[Message]:
        if not self.state.conditions or not (about := self._conditions_about(event.instrument)):
            return NOTHING
        board = Board(self.state, stamp.now)
        watching.on_value(self.state, board, about, event)
        return board.out

    def _on_market(self, event: feed.Market, stamp: Stamp) -> Sequence[Message]:
        self._quiet_until = 0
        board = Board(self.state, stamp.now)
        feeds.on_market(self.state, board, event)
        venues.on_market(self.state, board, event)
        watching.on_market(self.state, board, event)
        return board.out

    def _on_clock(self, _event: feed.FeedClock | monitor.Clock, stamp: Stamp) -> Sequence[Message]:
        board = Board(self.state, stamp.now)
        books.check_clock(board, doubtful=stamp.is_doubtful)
        is_earlier = stamp.now < self.state.clock_at
        self.state.clock_at = stamp.now
        if self.state.fresh or is_earlier:
            # The first tick may be far from the session's start (a recording may begin later).
            self.state.fresh = False
            self._rebase(board)
            return board.out
        orders.sweep(self.state, board)
        positions.sweep(self.state, board)
        venues.sweep(self.state, board)
        if board.now > self._quiet_until:
            self._quiet_until = feeds.sweep(self.state, board)
        books.sweep(self.state, board)
        watching.sweep(self.state, board, self._conditions_about)
        board.expire()
        # What raises alerts comes first: they are part of what is said.
        asked = rollback.sweep(self.state, board, stamp.seq)
        return [*board.out, *asked]

    def _on_change(
        self, change: evaluation.SignalChange | evaluation.ExitChange, stamp: Stamp
    ) -> Sequence[Message]:
        board = Board(self.state, stamp.now)
        rollback.on_change(self.state, board, change, stamp.seq)
        return board.out

    def _on_counterfactual(self, found: evaluation.Counterfactual, stamp: Stamp) -> Sequence[Message]:
        board = Board(self.state, stamp.now)
        ruled = rollback.on_counterfactual(self.state, board, found)
        return [*ruled, *board.out]

    def _on_session(self, event: operator.Session, stamp: Stamp) -> Sequence[Message]:
        board = Board(self.state, stamp.now)
        self.state.fresh = True
        self.state.clock_at = stamp.now
        feeds.restart(self.state, board)
        books.restart(self.state, board, halted=event.halted)
        watching.restart(self.state, board)
        self._rebase(board)
        return board.out

    def _rebase(self, board: Board) -> None:
        self._quiet_until = 0
        orders.rebase(self.state, board.now)
        positions.rebase(self.state, board.now)
        venues.rebase(self.state, board.now)
        feeds.rebase(self.state, board.now)
        books.rebase(self.state, board.now)
        rollback.rebase(self.state, board.now)
        watching.rebase(self.state, board.now)
        board.rebase()

    def _on_config(self, event: operator.Config, stamp: Stamp) -> Sequence[Message]:
        if event.section == conditions.SECTION:
            self._about.clear()
            board = Board(self.state, stamp.now)
            watching.configure(self.state, board, AlertsParams.model_validate(event.document))
            return board.out
        if event.section == SECTION:
            self._quiet_until = 0
            self.state.params = MonitorParams.model_validate(event.document)
        return NOTHING

    def _on_approval(self, event: risk.Approval, stamp: Stamp) -> Sequence[Message]:
        board = Board(self.state, stamp.now)
        orders.on_approval(self.state, board, event, stamp.message_id, verified=stamp.verified)
        return board.out

    def _on_claim(self, event: execution.Claim, stamp: Stamp) -> Sequence[Message]:
        board = Board(self.state, stamp.now)
        orders.on_claim(self.state, board, event, verified=stamp.verified)
        return board.out
