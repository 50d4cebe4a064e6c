"""The metrics of one process, under names that say their unit.

Every service has the same set, so that one dashboard fits all; what a service does not know stays 0.
"""

from collections.abc import Mapping
from typing import Any

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
from proto.execution import OrderStatus
from proto.monitor import Severity
from proto.risk import RiskState
from proto.units import MILLISECOND, ONE

LATENCY_BOUNDS_NS = tuple(
    round(milliseconds * MILLISECOND)
    for milliseconds in (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000)
)
"""From a tenth of a millisecond; 15 ms is the aim for the p99 of a whole decision."""
LABEL_VALUES_MAX = 64
"""Different values of a label that comes from the tape; the rest are counted together."""
OTHER = "other"

_SERVICE = "service"


class _Total:
    """A counter fed with totals that somebody else counts; a smaller total means that they restarted."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._last = 0

    def set(self, total: int) -> None:
        self._counter.inc(total - self._last if total >= self._last else total)
        self._last = total


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


class Metrics:
    """One registry for one process. Attributes are bound children: updating one costs a microsecond.

    Money is given in millionths (as on the tape) to the methods and exported in dollars; times are given
    in nanoseconds and exported in seconds.
    """

    def __init__(self, service: str, build: str = "") -> None:
        self.service = service
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._gauge("presage_build_info", "What runs; always 1", ("build",)).labels(service, build).set(1)
        self._latencies()
        self._books()
        self._flow()
        self._faults()

    def _latencies(self) -> None:
        hops = HistogramCollector(
            "presage_hop_latency_seconds",
            "From cause stored to message stored",
            (_SERVICE, "hop"),
            self.registry,
        )
        self._hops = {name: hops.series((self.service, name), LATENCY_BOUNDS_NS) for name in HOPS}
        whole = HistogramCollector(
            "presage_end_to_end_latency_seconds",
            "From the market data that began a decision to its claim",
            (_SERVICE,),
            self.registry,
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
            self._counter("presage_rejections", "Failed checks of rejected proposals", ("reason",)), service
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

    def set_orders(self, status: OrderStatus, count: int) -> None:
        """How many orders are in a state now."""
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
        self.outputs_pending.set(int(report.get("open_outputs", 0)))
        self.queue_depth.set(int(report.get("backlog", 0)))
        self.tape_lag.set(int(report.get("lag", 0)))
        self.divergences.set(int(report.get("diverged", 0)))
        self.permission_violations.set(int(report.get("violations", 0)))
        self.reader_restarts.set(int(report.get("restarts", 0)))
        self.dead_inputs.set(int(report.get("dead", 0)))
        self.publish_retries.set(int(report.get("retries", 0)))
        desks: Mapping[str, Mapping[str, Any]] = report.get("venues", {})
        self.odd_items.set(sum(int(desk.get("odd_items", 0)) for desk in desks.values()))
        for machine in report.get("versions", {}):
            self.set_position(str(machine), int(report.get("position", 0)))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, about, (_SERVICE, *labels), registry=self.registry)

    def _counter(self, name: str, about: str, labels: tuple[str, ...] = ()) -> Counter:
        # The client adds "_total" to a counter's name by itself.
        return Counter(name, about, (_SERVICE, *labels), registry=self.registry)

    def _total(self, name: str, about: str) -> _Total:
        return _Total(self._counter(name, about).labels(self.service))
