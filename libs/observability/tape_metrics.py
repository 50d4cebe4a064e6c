"""What the tape says, as metrics: one fold, for whichever service reads those messages."""

from collections.abc import Callable
from typing import Any

from libs.bounded import keep_newest
from libs.observability.latency import HOP_NS_MAX, StoredTimes, hop_ns
from libs.observability.metrics import LABEL_VALUES_MAX, Metrics
from proto.execution import TERMINAL, Claim, OrderStatus, OrderUpdate
from proto.feed import Book, Gap, Quote, Side, Trade
from proto.ids import venue_of
from proto.message import Message
from proto.monitor import Alert, Dead, Severity
from proto.risk import Approval, PortfolioReport, Rejection
from proto.signal import Proposal
from proto.units import ONE
from proto.venue import Fill, Reconciliation

AGE_TOLD_BY = "monitor"
MARKET_DATA = (Quote, Book, Trade)
PRICES_KEPT = 4_096
"""Approved prices kept for fills to come; an order trades within hours, and there are some hundred a day."""
ALERTS_MAX = 1_024
"""Active alerts followed: the monitor's machine and shell have fewer together."""


class TapeMetrics:
    """Folds messages in tape order into :class:`Metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._times = StoredTimes()
        self._status: dict[str, OrderStatus] = {}
        self._counts = dict.fromkeys(OrderStatus, 0)
        self._alerts: dict[tuple[str, str], Severity] = {}
        self._prices: dict[str, int] = {}
        self._checks: dict[str, bool] = {}
        # One process tells how old venues' data are; in the others it would only cost time.
        self._tells_age = metrics.service == AGE_TOLD_BY
        self._handlers: dict[type[Message], Callable[[Any], object]] = {
            OrderUpdate: self._order,
            Rejection: self._rejection,
            Proposal: lambda _: metrics.proposals.inc(),
            Approval: self._approval,
            Gap: lambda gap: metrics.gaps.inc(gap.venue),
            Reconciliation: self._reconciliation,
            Claim: lambda _: metrics.claims.inc(),
            Fill: self._fill,
            PortfolioReport: self._books,
            Alert: self._alert,
            Dead: self._dead,
        }

    def on(
        self, message: Message, seq: int, stored_at_ns: int, cause_seq: int = 0, root_seq: int = 0
    ) -> None:
        """Take one message with its place on the tape, and the sequences of its cause and first cause."""
        self._times.put(seq, stored_at_ns)
        hop = hop_ns(message, stored_at_ns, self._times.get(cause_seq) if cause_seq else None)
        if hop is not None:
            self._metrics.observe_hop(*hop)
        if self._tells_age and isinstance(message, MARKET_DATA):
            self._metrics.venue_data(venue_of(message.instrument), stored_at_ns)
        handler = self._handlers.get(type(message))
        if handler is not None:
            handler(message)
        if type(message) is Claim:
            self._end_to_end(stored_at_ns, root_seq)

    def _approval(self, approval: Approval) -> None:
        self._metrics.approvals.inc()
        for check in approval.checks:
            if check.name not in self._checks:
                # A check that was made and never failed is a series at 0.
                self._checks[check.name] = True
                keep_newest(self._checks, LABEL_VALUES_MAX)
                self._metrics.rejections.show(check.name)
        self._prices[approval.order] = approval.price
        keep_newest(self._prices, PRICES_KEPT)

    def _fill(self, fill: Fill) -> None:
        metrics = self._metrics
        metrics.fills.inc()
        metrics.filled(fill.side, fill.price, fill.quantity)
        if fill.maker:
            metrics.maker_fills.inc()
        approved = self._prices.get(fill.order, fill.price)
        better = approved - fill.price if fill.side is Side.BUY else fill.price - approved
        metrics.improvement.inc(max(0, better) * fill.quantity / (ONE * ONE))

    def _reconciliation(self, found: Reconciliation) -> None:
        result = "incomplete" if not found.complete else "clean" if found.clean else "different"
        self._metrics.reconciliations[result].inc(found.venue)

    def _rejection(self, rejection: Rejection) -> None:
        for check in rejection.failed:
            self._metrics.rejections.inc(check.name)

    def _dead(self, dead: Dead) -> None:
        self._metrics.dead_by_producer.inc(dead.producer, dead.count)

    def _end_to_end(self, stored_at_ns: int, root_seq: int) -> None:
        began = self._times.get(root_seq)
        if began is not None and 0 <= stored_at_ns - began <= HOP_NS_MAX:
            self._metrics.observe_end_to_end(stored_at_ns - began)

    def _order(self, update: OrderUpdate) -> None:
        before = self._status.pop(update.order, None)
        if before is update.status:
            self._status[update.order] = before
            return
        if before is not None:
            self._count(before, -1)
        if update.status not in TERMINAL:
            self._status[update.order] = update.status
            self._count(update.status, 1)
        self._metrics.order_entered(update.status)

    def _count(self, status: OrderStatus, change: int) -> None:
        self._counts[status] += change
        self._metrics.count_orders(status, self._counts[status])

    def _books(self, report: PortfolioReport) -> None:
        metrics = self._metrics
        metrics.set_money(metrics.cash, report.cash)
        metrics.set_money(metrics.equity, report.equity)
        metrics.set_money(metrics.exposure, report.exposure)
        metrics.set_money(metrics.exposure_limit, report.exposure_limit)
        metrics.set_money(metrics.realised_profit, report.realised_profit)
        metrics.set_money(metrics.fees, report.fees)
        metrics.positions.set(report.positions)
        metrics.set_risk_state(report.state)

    def _alert(self, alert: Alert) -> None:
        key = (alert.rule, alert.topic)
        before = self._alerts.pop(key, None)
        if alert.active and len(self._alerts) < ALERTS_MAX:
            self._alerts[key] = alert.severity
        self._metrics.set_alert(alert.rule, sum(rule == alert.rule for rule, _ in self._alerts))
        for severity in {alert.severity, before or alert.severity}:
            self._metrics.set_alerts(severity, sum(s is severity for s in self._alerts.values()))
