"""The metrics of one process, under names that say their unit.

Every service has the same set, so that one dashboard fits all; what a service does not know stays 0.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from libs.observability.histogram import HistogramCollector
from libs.observability.latency import HOPS
from libs.observability.report_metrics import ReportMetrics, number
from proto.execution import TERMINAL, OrderStatus
from proto.feed import Side
from proto.monitor import Severity
from proto.risk import RiskState
from proto.units import MILLISECOND, ONE, SECOND

LATENCY_BOUNDS_NS = tuple(
    round(milliseconds * MILLISECOND)
    for milliseconds in (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000)
)
"""From a tenth of a millisecond; 15 ms is the aim for the p99 of a whole decision."""
LABEL_VALUES_MAX = 64
"""Different values of a label that comes from the tape; the rest are counted together."""
OTHER = "other"

_SERVICE = "service"
_VENUE = "venue"
RECONCILIATIONS = {
    "clean": "nothing differs that stops trading",
    "different": "something does",
    "incomplete": "not every question was answered",
}
"""What a reconciliation may come to, and what that means."""


class _Total:
    """A counter fed with totals that somebody else counts; a smaller total means that they restarted."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._last = 0.0

    def set(self, total: object) -> None:
        """Take a total over; what is no finite number is none, and a counter never falls."""
        found = number(total)
        if found is None or found < 0:
            return
        self._counter.inc(found - self._last if found >= self._last else found)
        self._last = found


class _Bounded:
    """Children of a metric with one label from outside, bounded in number."""

    def __init__(self, metric: Counter, service: str) -> None:
        self._metric = metric
        self._service = service
        self._children: dict[str, Counter] = {}

    def inc(self, value: str, amount: int = 1) -> None:
        child = self._children.get(value)
        if child is None:
            if len(self._children) >= LABEL_VALUES_MAX:
                value = OTHER
            child = self._children[value] = self._metric.labels(self._service, value)
        child.inc(amount)

    def show(self, value: str) -> None:
        """Have a series for a value before anything is counted: a rate begins at nought, not at the first event."""
        self.inc(value, 0)


class Described(NamedTuple):
    """A metric as its reference shows it; ``labels`` beside ``service``."""

    name: str
    kind: str
    labels: tuple[str, ...]
    about: str


class Metrics:
    """One registry for one process. Attributes are bound children: updating one costs a microsecond.

    Money is given in millionths (as on the tape) to the methods and exported in dollars; times are given
    in nanoseconds and exported in seconds.
    """

    def __init__(self, service: str, build: str = "") -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        """Every metric of ours, for the reference."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._gauge("presage_build_info", "What runs; always 1", ("build",)).labels(service, build).set(1)
        self._latencies()
        self._books()
        self._flow()
        self._faults()
        self._trades()
        self._reports = ReportMetrics(service, self.registry)
        for row in self._reports.rows:
            kind = "counter" if row.is_counter else "gauge"
            self.described.append(Described(row.name, kind, (row.label,) if row.label else (), row.about))

    def _latencies(self) -> None:
        hops = self._histogram("presage_hop_latency_seconds", "From cause stored to message stored", ("hop",))
        self._hops = {name: hops.series((self.service, name), LATENCY_BOUNDS_NS) for name in HOPS}
        whole = self._histogram(
            "presage_end_to_end_latency_seconds", "From the market data that began a decision to its claim"
        )
        self._end_to_end = whole.series((self.service,), LATENCY_BOUNDS_NS)

    def _books(self) -> None:
        service = self.service
        self.equity = self._gauge("presage_equity_dollars", "Cash and positions at their marks").labels(
            service
        )
        self.cash = self._gauge("presage_cash_dollars", "Cash").labels(service)
        self.exposure = self._gauge(
            "presage_exposure_dollars", "Worst case of positions, working and unknown orders"
        ).labels(service)
        self.exposure_limit = self._gauge(
            "presage_exposure_limit_dollars", "The most that exposure may be"
        ).labels(service)
        self.realised_profit = self._gauge(
            "presage_realised_profit_dollars", "Realised profit before fees"
        ).labels(service)
        self.fees = self._gauge("presage_fees_dollars", "Fees paid").labels(service)
        self.positions = self._gauge("presage_positions", "Open positions").labels(service)
        state = self._gauge("presage_risk_state", "1 for the state risk is in", ("state",))
        self._risk_states = {name: state.labels(service, name.value) for name in RiskState}

    def _flow(self) -> None:
        service = self.service
        orders = self._gauge("presage_orders", "Orders in a state that is not final", ("status",))
        self._orders = {status: orders.labels(service, status.value) for status in OrderStatus}
        entered = self._counter("presage_orders_entered", "Orders that entered a state", ("status",))
        self._entered = {status: entered.labels(service, status.value) for status in OrderStatus}
        self.unknown_orders = self._gauge(
            "presage_unknown_orders", "Orders the venue may or may not have"
        ).labels(service)
        self.rejections = _Bounded(
            self._counter(
                "presage_rejections",
                "Failed checks of rejected proposals; 0 for a check that was made and never failed",
                ("reason",),
            ),
            service,
        )
        self.proposals = self._counter("presage_proposals", "Proposals read").labels(service)
        self.approvals = self._counter("presage_approvals", "Approvals read").labels(service)
        self.claims = self._counter("presage_claims", "Orders sent: claims read").labels(service)
        self.fills = self._counter("presage_fills", "Fills read").labels(service)
        self.queue_depth = self._gauge("presage_queue_depth", "Messages read and not yet processed").labels(
            service
        )
        self.outputs_pending = self._gauge(
            "presage_outputs_pending", "Outputs emitted and not yet acknowledged by the broker"
        ).labels(service)
        self._position = self._gauge(
            "presage_machine_position", "Tape sequence a machine has processed", ("machine",)
        )
        self.tape_lag = self._gauge(
            "presage_tape_lag_messages", "Messages on the tape after the service's position"
        ).labels(service)
        self.ready = self._gauge("presage_ready", "1 when live").labels(service)

    def _faults(self) -> None:
        service = self.service
        alerts = self._gauge("presage_alerts_active", "Alerts raised and not over", ("severity",))
        self._alerts = {severity: alerts.labels(service, severity.value) for severity in Severity}
        self.divergences = self._total("presage_divergences", "Machines that did not recompute their outputs")
        self.permission_violations = self._total(
            "presage_permission_violations", "Refusals by the broker of what this service tried"
        )
        self.restarts = self._total("presage_restarts", "Restarts of the service by its supervisor")
        self.reader_restarts = self._total("presage_reader_restarts", "Restarts of the tape's reader")
        self.dead_inputs = self._total("presage_dead_inputs", "Unreadable inputs")
        self.publish_retries = self._total("presage_publish_retries", "Publishes that were tried again")
        self.odd_items = self._total(
            "presage_odd_items", "Rows of venues' answers about the account that could not be read"
        )
        self.dead_by_producer = _Bounded(
            self._counter("presage_dead_letters", "Dead inputs reported on the tape", ("producer",)), service
        )

    def _trades(self) -> None:
        service = self.service
        filled = self._counter("presage_filled_dollars", "Price times quantity of fills", ("side",))
        self._filled = {side: filled.labels(service, side.value) for side in Side}
        self.improvement = self._counter(
            "presage_price_improvement_dollars", "Fills at better prices than were approved: what that saved"
        ).labels(service)
        self.maker_fills = self._counter("presage_maker_fills", "Fills of orders that rested").labels(service)
        self.gaps = _Bounded(
            self._counter("presage_feed_gaps", "Losses of continuity told by the feed", (_VENUE,)), service
        )
        self.reconciliations = {
            result: _Bounded(
                self._counter(
                    f"presage_reconciliations_{result}",
                    f"Comparisons with a venue's books: {about}",
                    (_VENUE,),
                ),
                service,
            )
            for result, about in RECONCILIATIONS.items()
        }
        self._alert_rules = self._gauge(
            "presage_alert_active", "Alerts of a rule raised and not over", ("rule",)
        )
        self._alert_rules_seen: set[str] = set()
        self._orders_are_reported = False
        self._data_at = self._gauge(
            "presage_venue_data_timestamp_seconds",
            "When the newest market data of a venue was stored",
            (_VENUE,),
        )
        self._venues_seen: set[str] = set()

    def filled(self, side: Side, price: int, quantity: int) -> None:
        """A fill, in millionths each."""
        self._filled[side].inc(price * quantity / (ONE * ONE))

    def set_alert(self, rule: str, count: int) -> None:
        """How many alerts of a rule are active; rules beyond the bound share one series."""
        self._bounded(self._alert_rules, self._alert_rules_seen, rule).set(count)

    def venue_data(self, venue: str, stored_at_ns: int) -> None:
        """When market data of a venue was stored."""
        if venue not in self._venues_seen:
            for counter in (self.gaps, *self.reconciliations.values()):
                counter.show(venue)
        self._bounded(self._data_at, self._venues_seen, venue).set(stored_at_ns / SECOND)

    def _bounded(self, gauge: Gauge, seen: set[str], value: str) -> Gauge:
        if value not in seen and len(seen) >= LABEL_VALUES_MAX:
            value = OTHER
        seen.add(value)
        return gauge.labels(self.service, value)

    def observe_hop(self, hop: str, took_ns: int) -> None:
        """Record one hop; ``hop`` is one of ``latency.HOPS``."""
        self._hops[hop].observe(took_ns)

    def observe_end_to_end(self, took_ns: int) -> None:
        """Record one whole decision."""
        self._end_to_end.observe(took_ns)

    def set_money(self, gauge: Gauge, millionths: int) -> None:
        """Set a gauge of this object to an amount of money."""
        gauge.set(millionths / ONE)

    def set_risk_state(self, state: RiskState) -> None:
        """Show the one state that risk is in."""
        for name, gauge in self._risk_states.items():
            gauge.set(name is state)

    def count_orders(self, status: OrderStatus, count: int) -> None:
        """How many orders are in a state, as far as the tape was read; who reports them all knows better."""
        if not self._orders_are_reported:
            self._set_orders(status, count)

    def _set_orders(self, status: OrderStatus, count: int) -> None:
        self._orders[status].set(count)
        if status is OrderStatus.UNKNOWN:
            self.unknown_orders.set(count)

    def order_entered(self, status: OrderStatus) -> None:
        """An order entered a state."""
        self._entered[status].inc()

    def set_alerts(self, severity: Severity, count: int) -> None:
        """How many alerts of a severity are active."""
        self._alerts[severity].set(count)

    def set_position(self, machine: str, seq: int) -> None:
        """How far a machine has come on the tape."""
        self._position.labels(self.service, machine).set(seq)

    def take_report(self, report: Mapping[str, Any]) -> None:
        """Take a host's health report (``libs.machine.host.Host.health``) over into the metrics."""
        self.ready.set(report.get("state") == "live")
        for gauge, name in (
            (self.outputs_pending, "open_outputs"),
            (self.queue_depth, "backlog"),
            (self.tape_lag, "lag"),
        ):
            gauge.set(number(report.get(name)) or 0)
        for total, name in (
            (self.divergences, "diverged"),
            (self.permission_violations, "violations"),
            (self.reader_restarts, "restarts"),
            (self.dead_inputs, "dead"),
            (self.publish_retries, "retries"),
        ):
            total.set(report.get(name, 0))
        desks: Mapping[str, Mapping[str, Any]] = report.get("venues", {})
        self.odd_items.set(sum(number(desk.get("odd_items")) or 0 for desk in desks.values()))
        for machine in report.get("versions", {}):
            self.set_position(str(machine), int(number(report.get("position")) or 0))
        self._take_account(report)
        self._take_orders(report)
        self._take_alerts(report)
        self._reports.take(report)

    def _take_orders(self, report: Mapping[str, Any]) -> None:
        """What execution knows of its orders. After a restart the tape is read on behind many of them."""
        told = report.get("orders")
        if not isinstance(told, Mapping):
            return
        self._orders_are_reported = True
        for status in OrderStatus:
            if status not in TERMINAL:
                self._set_orders(status, int(number(told.get(status.value)) or 0))

    def _take_alerts(self, report: Mapping[str, Any]) -> None:
        """What the monitor knows to be wrong. After a restart the tape is read on behind many an alert."""
        told = report.get("alerts")
        if not isinstance(told, Mapping):
            return
        for rule in self._alert_rules_seen - told.keys():
            self.set_alert(rule, 0)
        for rule, count in told.items():
            self.set_alert(str(rule), int(number(count) or 0))

    def _take_account(self, report: Mapping[str, Any]) -> None:
        """What risk says of the account twice a second; everybody else hears of it on the tape, once a minute."""
        for gauge, name in (
            (self.cash, "cash"),
            (self.equity, "equity"),
            (self.exposure, "exposure"),
            (self.exposure_limit, "exposure_limit"),
        ):
            if (amount := number(report.get(name))) is not None:
                gauge.set(amount / ONE)
        if (positions := number(report.get("positions"))) is not None:
            self.positions.set(positions)
        if report.get("risk_state") in tuple(RiskState):
            self.set_risk_state(RiskState(report["risk_state"]))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Gauge:
        self.described.append(Described(name, "gauge", labels, about))
        return Gauge(name, about, (_SERVICE, *labels), registry=self.registry)

    def _histogram(self, name: str, about: str, labels: tuple[str, ...] = ()) -> HistogramCollector:
        self.described.append(Described(name, "histogram", labels, about))
        return HistogramCollector(name, about, (_SERVICE, *labels), self.registry)

    def _counter(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Counter:
        self.described.append(Described(name, "counter", labels, about))
        # The client adds "_total" to a counter's name by itself.
        return Counter(name, about, (_SERVICE, *labels), registry=self.registry)

    def _total(self, name: str, about: str) -> _Total:
        return _Total(self._counter(name, about).labels(self.service))
