"""The view's model: a pure fold over tape messages, in bounded memory, and the supervisor's table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.bounded import keep_newest
from libs.observability.latency import hop_ns
from libs.portfolio.portfolio import Portfolio
from libs.view import wording
from libs.view.check_words import check_words
from libs.view.history import Decision, DecisionLog, EquityHistory, Latencies
from libs.view.market_state import MarketState
from libs.view.names import short_id
from libs.view.rows import Money, OpenOrder, PositionRow, ServiceRow, VenueRow
from libs.view.tally import Tally
from proto.execution import TERMINAL, Claim, OrderStatus, OrderUpdate, Refusal
from proto.exit import ExitProposal, PositionStage, PositionUpdate
from proto.feed import Book, FeedClock, Market, Quote, Trade
from proto.message import Message
from proto.monitor import Alert, Clock, Severity
from proto.operator import Command, Session, Verb
from proto.risk import Approval, Check, Pending, PortfolioReport, Rejection
from proto.signal import Proposal
from proto.units import notional
from proto.venue import Account, Correction, Fill, Settlement

__all__ = ["WHOLE_WAY", "PositionRow", "ServiceRow", "VenueRow", "ViewModel"]

WHOLE_WAY = "whole way"
"""The latency from the market data that began a decision to the claim of its order."""
ORDERS_MAX = 1_000
ALERTS_MAX = 256
STAGES_MAX = 1_000


@dataclass
class ViewModel:
    """Feed every message of the tape to :meth:`on` in order; read the rest for drawing."""

    seq: int = 0
    now: int = 0
    tape: str = ""
    mode: str = ""
    recording: str = ""
    halt_reason: str = ""
    services: tuple[ServiceRow, ...] = ()
    venues: tuple[VenueRow, ...] = ()
    whose_money: str = "paper"
    console_url: str = ""
    """Where the console is; empty without one."""
    halt_file: str | None = None
    """What the HALT file says, while there is one."""
    messages: int = 0
    tally: Tally = field(default_factory=Tally)
    money: Money = field(default_factory=Money)
    market_state: MarketState = field(default_factory=MarketState)
    waiting: dict[str, Pending] = field(default_factory=dict)
    """Orders that wait for the operator, by the proposal they come from."""
    orders: dict[str, OpenOrder] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    alerts: dict[tuple[str, str], Alert] = field(default_factory=dict)
    decisions: DecisionLog = field(default_factory=DecisionLog)
    equity_history: EquityHistory = field(default_factory=EquityHistory)
    latencies: Latencies = field(default_factory=Latencies)

    def __post_init__(self) -> None:
        self._made: int | None = None
        """Profit that the message at hand realised; ``None`` if it is no news of money."""
        self._held = 0
        self._handlers: dict[type[Message], Callable[[Any], None]] = {
            Session: self._on_session,
            Command: self._on_command,
            Clock: self._on_clock,
            FeedClock: self._on_clock,
            Market: self.market_state.on_market,
            Quote: self.market_state.on_quote,
            Book: self.market_state.on_book,
            Trade: self.market_state.on_trade,
            Proposal: self._on_proposal,
            ExitProposal: self._on_exit_proposal,
            Approval: self._on_approval,
            Pending: self._on_pending,
            Rejection: self._on_rejection,
            PortfolioReport: self._on_report,
            OrderUpdate: self._on_update,
            Refusal: self._on_refusal,
            Fill: self._on_fill,
            Settlement: self._on_settlement,
            Correction: self._on_money,
            Account: self._on_money,
            PositionUpdate: self._on_position,
            Alert: self._on_alert,
        }

    def on(
        self,
        message: Message,
        seq: int,
        stored_at_ns: int,
        cause_stored_at_ns: int | None = None,
        root_stored_at_ns: int | None = None,
    ) -> None:
        """Take one message: its sequence, and when it, its cause and its first cause were stored."""
        self.seq = seq
        self.messages += 1
        self._held = self.portfolio.quantity(message.instrument) if isinstance(message, Settlement) else 0
        self._made = self.tally.add(message)
        hop = hop_ns(message, stored_at_ns, cause_stored_at_ns)
        if hop is not None:
            self.latencies.add(*hop)
        if type(message) is Claim and root_stored_at_ns is not None and root_stored_at_ns <= stored_at_ns:
            self.latencies.add(WHOLE_WAY, stored_at_ns - root_stored_at_ns)
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(message)

    def show_services(self, rows: Sequence[ServiceRow]) -> None:
        """Take the supervisor's newest table."""
        self.services = tuple(rows)

    def show_venues(self, rows: Sequence[VenueRow], whose_money: str) -> None:
        """Take the venues' newest state, and the kind of the account, as ``STATE/money`` has it."""
        self.venues = tuple(rows)
        self.whose_money = whose_money

    # ── reading ──

    def amount(self, millionths: int, *, signed: bool = False) -> str:
        """Money of this account, with its sign."""
        return wording.money(millionths, signed=signed, unit=wording.sign_of(self.whose_money))

    @property
    def portfolio(self) -> Portfolio:
        """Cash and positions."""
        return self.tally.portfolio

    @property
    def cash(self) -> int:
        """Cash in millionths of a dollar."""
        return self.portfolio.cash + self.money.cash_offset

    @property
    def equity(self) -> int:
        """Cash and positions at their marks: risk's last report, moved on by fills and prices since."""
        return self._own_equity() + self.money.equity_offset

    @property
    def exposure(self) -> int:
        """What open positions and orders can lose; as risk last reported it if this view began late."""
        if self.money.cash_offset:
            return self.money.exposure
        waiting = sum(
            notional(order.price, order.quantity - order.filled)
            for order in self.orders.values()
            if not order.reduce_only
        )
        return self.portfolio.exposure() + waiting

    @property
    def profit(self) -> int:
        """All that was made or lost, after fees; since the view began, if it began late."""
        if not self.money.cash_offset:
            return self.tally.profit
        return 0 if self.money.started_equity is None else self.equity - self.money.started_equity

    def waiting_orders(self) -> list[Pending]:
        """Orders that wait for the operator and still may, the oldest first."""
        return [pending for pending in self.waiting.values() if pending.expires_at > self.now]

    def positions(self) -> list[PositionRow]:
        """Open positions in the order they were opened."""
        marks = self.tally.marks()
        rows = []
        for _, instrument, position in self.portfolio.open_positions():
            mark = marks.get(instrument)
            value = position.cost if mark is None else _value(mark, position.quantity)
            rows.append(
                PositionRow(
                    instrument=instrument,
                    quantity=position.quantity,
                    entry_price=position.entry_price,
                    mark=mark,
                    unrealised_profit=value - position.cost,
                    cost=abs(position.cost),
                    stage=self.stages.get(instrument, "unmanaged"),
                    exits=self._exits(instrument),
                )
            )
        return rows

    def active_alerts(self) -> list[Alert]:
        """Alerts that are not over, the worst and then the newest first."""
        order = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
        newest_first = list(self.alerts.values())[::-1]
        return sorted(newest_first, key=lambda alert: order[alert.severity])

    @property
    def unknown_orders(self) -> int:
        """Orders that the venue may or may not have."""
        return sum(order.status == OrderStatus.UNKNOWN.value for order in self.orders.values())

    def _exits(self, instrument: str) -> str:
        working = [
            f"{wording.quantity(order.quantity - order.filled)} @ {wording.price(order.price)}"
            for order in self.orders.values()
            if order.reduce_only and order.instrument == instrument
        ]
        return ", ".join(working)

    def _own_equity(self) -> int:
        return self.tally.equity

    # ── folding ──

    def _on_session(self, session: Session) -> None:
        self.now = session.started_at
        self.tape = session.tape
        self.mode = session.mode.value
        self.recording = session.recording
        self.market_state.clear()
        if session.halted:
            self.halt_reason = "the session opened halted"

    def _on_command(self, command: Command) -> None:
        if command.verb in (Verb.HALT, Verb.CLOSE_ONLY):
            self.halt_reason = command.reason or f"{command.verb.value} by the operator"
        elif command.verb is Verb.RESUME:
            self.halt_reason = "resumed for exits only by the operator" if command.close_only else ""

    def _on_clock(self, clock: Clock | FeedClock) -> None:
        self.now = max(self.now, clock.at)
        if self.money.reported or self.portfolio.accounts:
            equity = self.equity
            if self.money.started_equity is None:
                self.money.started_equity = equity
            self.equity_history.add(self.now, equity)

    def _on_proposal(self, proposal: Proposal) -> None:
        edge = f"edge {wording.price(proposal.edge)}, fair {wording.price(proposal.fair_value)}"
        reasons = (edge, wording.clean(proposal.reason)) if proposal.reason else (edge,)
        self.decisions.open(self._decision(proposal, "proposed", reasons=reasons))

    def _on_exit_proposal(self, proposal: ExitProposal) -> None:
        decision = self._decision(
            proposal, "proposed", reasons=(wording.reason(proposal.reason.value),), is_exit=True
        )
        decision.quantity = proposal.quantity
        self.decisions.open(decision)

    def _on_approval(self, approval: Approval) -> None:
        self.waiting.pop(approval.proposal, None)
        self.orders[approval.order] = OpenOrder(
            approval.instrument,
            approval.side.value,
            approval.price,
            approval.quantity,
            approval.reduce_only,
        )
        keep_newest(self.orders, ORDERS_MAX)
        self._close(approval, "approved", (wording.reason(approval.reason),) if approval.reason else ())

    def _on_pending(self, pending: Pending) -> None:
        self.waiting[pending.proposal] = pending
        keep_newest(self.waiting, ORDERS_MAX)
        self._close(pending, "pending", (f"decide on it: presage approve {short_id(pending.order)}",))

    def _on_rejection(self, rejection: Rejection) -> None:
        self.waiting.pop(rejection.proposal, None)
        self._close(rejection, "rejected", self._words(rejection.failed))

    def _words(self, failed: tuple[Check, ...]) -> tuple[str, ...]:
        unit = wording.sign_of(self.whose_money)
        return tuple(check_words(check, unit) for check in failed)

    def _close(self, message: Approval | Pending | Rejection, outcome: str, reasons: tuple[str, ...]) -> None:
        is_exit = not isinstance(message, Pending) and message.reduce_only
        decision = self._decision(message, outcome, reasons=reasons, is_exit=is_exit)
        decision.quantity = message.quantity
        if isinstance(message, Rejection):
            decision.checks = tuple(check.name for check in message.failed)
        self.decisions.close(decision)

    def _on_report(self, report: PortfolioReport) -> None:
        money = self.money
        money.reported = True
        money.exposure, money.exposure_limit = report.exposure, report.exposure_limit
        money.risk_state = report.state
        # A view that began in the middle of the tape lacks what came before; risk's books say how much.
        money.cash_offset = report.cash - self.portfolio.cash
        money.equity_offset = report.equity - self._own_equity() if money.cash_offset else 0

    def _on_update(self, update: OrderUpdate) -> None:
        order = self.orders.get(update.order)
        if update.status in TERMINAL:
            self.orders.pop(update.order, None)
        elif order is not None:
            order.status = update.status.value
            order.filled = update.filled

    def _on_refusal(self, refusal: Refusal) -> None:
        reasons = (wording.reason(refusal.reason.value),)
        refused = Decision(
            self.now, "", "", "", "", "refused", reasons=reasons, order=refusal.order, seq=self.seq
        )
        self.decisions.add(refused)

    def _on_fill(self, fill: Fill) -> None:
        made = self._made
        if made is None:
            return
        fee = f"fee {self.amount(fill.fee)}"
        reasons = (f"realised {self.amount(made, signed=True)}", fee) if made else (fee,)
        decision = self._decision(fill, "fill", reasons=reasons)
        decision.quantity = fill.quantity
        self.decisions.add(decision)

    def _on_settlement(self, settlement: Settlement) -> None:
        if self._made is None:
            return
        held = self._held
        self.stages.pop(settlement.instrument, None)
        if held:
            made = self.amount(self._made, signed=True)
            self.decisions.add(
                Decision(
                    self.now,
                    "",
                    settlement.market,
                    settlement.instrument,
                    "",
                    "settled",
                    price=settlement.price,
                    quantity=abs(held),
                    reasons=(f"realised {made}",),
                    seq=self.seq,
                )
            )

    def _on_money(self, message: Correction | Account) -> None:
        if isinstance(message, Account) and self.money.started_equity is not None:
            # The account of one more venue is no profit; the curve begins where all of them are there.
            self.money.started_equity += message.deposit if self._made is not None else 0
            self.equity_history.points.clear()

    def _on_position(self, update: PositionUpdate) -> None:
        self.stages.pop(update.instrument, None)
        if update.stage is not PositionStage.CLOSED:
            self.stages[update.instrument] = update.stage.value.replace("_", " ")
            keep_newest(self.stages, STAGES_MAX)

    def _on_alert(self, alert: Alert) -> None:
        key = (alert.rule, alert.topic)
        self.alerts.pop(key, None)
        if alert.active and len(self.alerts) < ALERTS_MAX:
            self.alerts[key] = alert

    def _decision(
        self,
        message: Proposal | ExitProposal | Approval | Pending | Rejection | Fill,
        outcome: str,
        *,
        reasons: tuple[str, ...],
        is_exit: bool = False,
    ) -> Decision:
        return Decision(
            at=self.now,
            strategy=message.strategy,
            market=message.market,
            instrument=message.instrument,
            side=message.side.value,
            outcome=outcome,
            price=message.price,
            is_exit=is_exit,
            reasons=reasons,
            order=getattr(message, "order", ""),
            seq=self.seq,
        )


def _value(mark: int, quantity: int) -> int:
    value = notional(mark, abs(quantity))
    return value if quantity > 0 else -value
