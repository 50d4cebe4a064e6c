"""Metrics of a process, the fold of the tape into them, and the little server in front."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from libs.observability import server as server_module
from libs.observability.latency import HOPS, StoredTimes, hop_ns
from libs.observability.metrics import LABEL_VALUES_MAX, LATENCY_BOUNDS_NS, Metrics
from libs.observability.server import CONNECTIONS_MAX, REQUEST_BYTES_MAX, Readiness, StatusServer
from libs.observability.tape_metrics import TapeMetrics
from proto.execution import Claim, OrderStatus, OrderUpdate
from proto.feed import Quote, Side
from proto.message import Message
from proto.monitor import Alert, Dead, Severity
from proto.risk import Approval, Check, PortfolioReport, Rejection, RiskState, TimeInForce
from proto.signal import Proposal
from proto.units import MILLISECOND, ONE, SECOND
from tests.support import few_words

T0 = 1_790_000_000 * SECOND


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"service": metrics.service, **labels})


def order(name: str, status: OrderStatus) -> OrderUpdate:
    return OrderUpdate(order=name, status=status, instrument="i", market="m", strategy="s")


def proposal() -> Proposal:
    return few_words.proposal(strategy="s")


def claim() -> Claim:
    return few_words.claim("o")


def test_orders_by_state_follow_each_order() -> None:
    metrics = Metrics("risk")
    fold = TapeMetrics(metrics)
    steps = [
        ("a", OrderStatus.SUBMITTED),
        ("b", OrderStatus.SUBMITTED),
        ("a", OrderStatus.UNKNOWN),
        ("a", OrderStatus.UNKNOWN),
    ]
    for seq, (name, status) in enumerate(steps, 1):
        fold.on(order(name, status), seq, T0)
    assert value(metrics, "presage_orders", status="submitted") == 1
    assert value(metrics, "presage_orders", status="unknown") == 1
    assert value(metrics, "presage_unknown_orders") == 1
    assert value(metrics, "presage_orders_entered_total", status="unknown") == 1
    fold.on(order("a", OrderStatus.FILLED), 9, T0)
    assert value(metrics, "presage_unknown_orders") == 0
    assert value(metrics, "presage_orders", status="filled") == 0
    assert value(metrics, "presage_orders_entered_total", status="filled") == 1


def test_rejections_by_failed_check_and_books_in_dollars() -> None:
    metrics = Metrics("monitor")
    fold = TapeMetrics(metrics)
    failed = (Check("bet_max", 1, 2, passed=False), Check("spread", 1, 2, passed=False))
    fold.on(
        Rejection(
            strategy="s", market="m", instrument="i", side=Side.BUY, price=0, proposal="p", failed=failed
        ),
        1,
        T0,
    )
    fold.on(
        PortfolioReport(
            digest="d",
            cash=-1_500_000,
            equity=10 * ONE,
            realised_profit=0,
            fees=0,
            exposure=2 * ONE,
            exposure_limit=3 * ONE,
            positions=2,
            state=RiskState.REDUCED,
        ),
        2,
        T0,
    )
    assert value(metrics, "presage_rejections_total", reason="spread") == 1
    assert value(metrics, "presage_cash_dollars") == -1.5
    assert value(metrics, "presage_equity_dollars") == 10
    assert value(metrics, "presage_exposure_limit_dollars") == 3
    assert value(metrics, "presage_risk_state", state="reduced") == 1
    assert value(metrics, "presage_risk_state", state="active") == 0


def test_a_check_that_was_made_and_never_failed_is_counted_at_nought() -> None:
    metrics = Metrics("monitor")
    fold = TapeMetrics(metrics)
    checks = (Check("heat", 2, 1), Check("spread", 2, 1))
    approval = Approval(
        order="o",
        strategy="s",
        market="m",
        instrument="i",
        side=Side.BUY,
        price=0,
        quantity=1,
        time_in_force=TimeInForce.IOC,
        expires_at=0,
        proposal="p",
        checks=checks,
    )
    refusal = Rejection(
        strategy="s", market="m", instrument="i", side=Side.BUY, price=0, proposal="p", failed=checks[1:]
    )
    for seq, message in enumerate((approval, refusal, approval)):
        fold.on(message, seq, T0)
    assert value(metrics, "presage_rejections_total", reason="heat") == 0
    assert value(metrics, "presage_rejections_total", reason="spread") == 1


def test_hops_and_the_whole_way_are_measured_between_stored_messages() -> None:
    metrics = Metrics("monitor")
    fold = TapeMetrics(metrics)
    messages: list[tuple[Message, int, int, int, int]] = [
        (Quote(instrument="i", at=T0, counter=1), 1, T0 + MILLISECOND, 0, 0),
        (proposal(), 2, T0 + 4 * MILLISECOND, 1, 1),
        (claim(), 3, T0 + 9 * MILLISECOND, 2, 1),
    ]
    for message, seq, stored, cause, root in messages:
        fold.on(message, seq, stored, cause, root)
    total = "presage_hop_latency_seconds_sum"
    assert value(metrics, total, hop="feed") == pytest.approx(0.001)
    assert value(metrics, total, hop="signal") == pytest.approx(0.003)
    assert value(metrics, total, hop="claim") == pytest.approx(0.005)
    assert value(metrics, "presage_end_to_end_latency_seconds_sum") == pytest.approx(0.008)


def test_recorded_times_and_forgotten_causes_are_no_latency() -> None:
    old = Quote(instrument="i", at=T0 - 3_600 * SECOND, counter=1)
    assert hop_ns(old, T0, None) is None
    assert hop_ns(proposal(), T0, None) is None
    assert hop_ns(proposal(), T0, T0 + 1) is None
    times = StoredTimes()
    times.put(5, T0)
    times.put(5 + (1 << 16), T0 + 1)
    assert times.get(5) is None
    assert times.get(0) is None
    assert times.get(5 + (1 << 16)) == T0 + 1


def test_alerts_and_dead_letters_are_counted() -> None:
    metrics = Metrics("monitor")
    fold = TapeMetrics(metrics)
    for topic in ("a", "b"):
        fold.on(Alert(rule="r", severity=Severity.CRITICAL, topic=topic, text=""), 1, T0)
    fold.on(Alert(rule="r", severity=Severity.CRITICAL, topic="a", text="", active=False), 2, T0)
    fold.on(Dead(producer="feed", reason="torn", count=7), 3, T0)
    assert value(metrics, "presage_alerts_active", severity="critical") == 1
    assert value(metrics, "presage_dead_letters_total", producer="feed") == 7


def test_orders_from_before_a_restart_are_still_unknown() -> None:
    metrics = Metrics("execution")
    fold = TapeMetrics(metrics)
    metrics.take_report({"orders": {"unknown": 2, "accepted": 1}})
    fold.on(order("new", OrderStatus.UNKNOWN), 1, T0)
    assert value(metrics, "presage_unknown_orders") == 2
    assert value(metrics, "presage_orders", status="accepted") == 1
    reports: list[dict[str, object]] = [{"orders": {}}, {"orders": {"unknown": "x"}}]
    for told in reports:
        metrics.take_report(told)
        assert value(metrics, "presage_unknown_orders") == 0
    metrics.take_report({"orders": None})


def test_alerts_from_before_a_restart_are_still_active() -> None:
    """The tape is read on from a snapshot: what was raised before it is known to the monitor alone."""
    metrics = Metrics("monitor")
    fold = TapeMetrics(metrics)
    fold.on(Alert(rule="new", severity=Severity.CRITICAL, topic="a", text=""), 1, T0)
    metrics.take_report({"alerts": {"old": 2, "new": 1}})
    assert value(metrics, "presage_alert_active", rule="old") == 2
    metrics.take_report({"alerts": {"old": 1}})
    assert value(metrics, "presage_alert_active", rule="old") == 1
    assert value(metrics, "presage_alert_active", rule="new") == 0
    metrics.take_report({"alerts": None})
    metrics.take_report({"alerts": {"old": "x"}})
    assert value(metrics, "presage_alert_active", rule="old") == 0


def test_labels_from_the_tape_are_bounded_and_lose_nothing() -> None:
    metrics = Metrics("monitor")
    for number in range(1_000):
        metrics.rejections.inc(f"reason{number}")
    samples = [s for family in metrics.registry.collect() for s in family.samples]
    counted = [s.value for s in samples if s.name == "presage_rejections_total"]
    assert len(counted) == LABEL_VALUES_MAX + 1
    assert sum(counted) == 1_000


def test_a_health_report_becomes_metrics_and_totals_survive_a_restart() -> None:
    metrics = Metrics("risk", build="abc")
    report = {
        "state": "live",
        "position": 42,
        "open_outputs": 3,
        "dead": 5,
        "violations": 1,
        "diverged": True,
        "retries": 2,
        "restarts": 1,
        "versions": {"risk": 1},
    }
    metrics.take_report(report)
    metrics.take_report(report | {"dead": 6})
    metrics.take_report(report | {"dead": 2})
    assert value(metrics, "presage_dead_inputs_total") == 8
    assert value(metrics, "presage_divergences_total") == 1
    assert value(metrics, "presage_permission_violations_total") == 1
    assert value(metrics, "presage_machine_position", machine="risk") == 42
    assert value(metrics, "presage_outputs_pending") == 3
    assert value(metrics, "presage_ready") == 1
    assert value(metrics, "presage_build_info", build="abc") == 1


def test_every_hop_can_be_observed() -> None:
    metrics = Metrics("risk")
    for hop in HOPS:
        metrics.observe_hop(hop, 2 * MILLISECOND)
        assert value(metrics, "presage_hop_latency_seconds_bucket", hop=hop, le="0.0025") == 1
        assert value(metrics, "presage_hop_latency_seconds_bucket", hop=hop, le="0.001") == 0


@given(st.lists(st.integers(0, 20 * SECOND), max_size=50))
def test_histograms_read_back_as_what_was_observed(values: list[int]) -> None:
    metrics = Metrics("risk")
    for took in values:
        metrics.observe_hop("venue", took)
    families = {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}
    samples = [s for s in families["presage_hop_latency_seconds"].samples if s.labels["hop"] == "venue"]
    buckets = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    assert len(buckets) == len(LATENCY_BOUNDS_NS) + 1
    for bound, counted in buckets.items():
        assert counted == sum(took / SECOND <= float(bound) for took in values)
    (count,) = (s.value for s in samples if s.name.endswith("_count"))
    (total,) = (s.value for s in samples if s.name.endswith("_sum"))
    assert count == len(values)
    assert total == pytest.approx(sum(values) / SECOND)


async def ask(port: int, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    raw = await reader.read()
    writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


@pytest.mark.asyncio
async def test_the_server_answers_for_metrics_health_and_readiness() -> None:
    state = Readiness(ready=False, reason="restoring")
    server = StatusServer(Metrics("risk"), lambda: state)
    port = await server.start()
    try:
        status, body = await ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status == 200
        assert b'presage_unknown_orders{service="risk"} 0.0' in body
        status, body = await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")
        assert (status, json.loads(body)["alive"]) == (200, True)
        status, body = await ask(port, b"GET /readyz?x=1 HTTP/1.1\r\n\r\n")
        assert (status, json.loads(body)["reason"]) == (503, "restoring")
        state = Readiness(ready=True)
        assert (await ask(port, b"GET /readyz HTTP/1.1\r\n\r\n"))[0] == 200
        assert (await ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")) == (200, b"")
        assert (await ask(port, b"GET /secret HTTP/1.1\r\n\r\n"))[0] == 404
        assert (await ask(port, b"POST /metrics HTTP/1.1\r\n\r\n"))[0] == 405
    finally:
        await server.close()


@pytest.mark.asyncio
async def test_the_server_bounds_size_time_and_number_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS_MAX", 3.0)
    server = StatusServer(Metrics("risk"), lambda: Readiness(ready=True))
    port = await server.start()
    try:
        assert (await ask(port, b"GET / HTTP/1.1\r\nX: " + b"y" * (2 * REQUEST_BYTES_MAX)))[0] == 400
        assert (await ask(port, b"\xff\x00\r\n\r\n"))[0] == 405
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX)]
        # One above the bound is closed at once; the idle ones are closed when their time is over.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
            assert not any(waiting.at_eof() for waiting, _ in idle)
            writer.close()
            for reader, writer in idle:
                assert await reader.read() == b""
                writer.close()
        assert (await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n"))[0] == 200
    finally:
        await server.close()
