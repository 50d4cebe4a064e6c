"""Health reports as metrics: what is no finite number changes nothing, and counters never fall."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from libs.observability.metrics import Metrics
from libs.observability.report_metrics import ROWS, ReportMetrics
from libs.observability.server import STATUS_PORTS
from proto.risk import RiskState

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PARTS = sorted({part for row in ROWS for part in row.path} | {"backlog", "lag", "dead", "diverged", "cash"})
NO_NUMBERS: tuple[Any, ...] = (math.nan, math.inf, None, [], {})
REPORTS = st.recursive(
    PLAIN, lambda inner: st.dictionaries(st.sampled_from(PARTS), inner, max_size=6), max_leaves=30
).filter(lambda report: isinstance(report, dict))


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name.startswith("presage")
    }


def nested(row: Any, value: Any) -> dict[str, Any]:
    """A report with one value at a row's path; ``x`` in place of each star."""
    for part in reversed(row.path):
        value = {"x" if part == "*" else part: value}
    return value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_takes_its_value_and_nothing_else(row):
    registry = CollectorRegistry()
    metrics = ReportMetrics(row.service, registry)
    name = f"{row.name}_total" if row.is_counter else row.name
    labels = {"service": row.service} | ({row.label: "x"} if row.label else {})
    metrics.take(nested(row, row.when or 7))
    first = registry.get_sample_value(name, labels)
    assert first == pytest.approx(1.0 if row.when else 7 * row.scale)
    for odd in () if row.when else NO_NUMBERS:
        metrics.take(nested(row, odd))
        assert registry.get_sample_value(name, labels) == first
    metrics.take({})
    assert registry.get_sample_value(name, labels) == first


@given(st.sampled_from(sorted(STATUS_PORTS)), st.lists(REPORTS, max_size=4))
def test_no_report_brings_a_number_that_is_none_or_a_counter_that_falls(service: str, reports: list[Any]):
    metrics = Metrics(service)
    before: dict[Any, float] = {}
    for report in reports:
        if not isinstance(report.get("venues", {}), dict) or not isinstance(report.get("versions", {}), dict):
            continue
        report["venues"] = {k: v for k, v in report.get("venues", {}).items() if isinstance(v, dict)}
        metrics.take_report(report)
        found = samples(metrics)
        assert not any(math.isnan(value) for value in found.values())
        for key, value in found.items():
            if key[0].endswith(("_total", "_count", "_sum")):
                assert value >= before.get(key, 0.0), key
        before = found


def test_a_service_that_began_anew_counts_on():
    metrics = Metrics("feed")
    for frames in (5, 9, 2, 3):
        metrics.take_report({"frames": frames})
    assert metrics.registry.get_sample_value("presage_feed_frames_total", {"service": "feed"}) == 9 + 3


def test_the_account_follows_risks_report():
    metrics = Metrics("risk")
    metrics.take_report(
        {"equity": 12_500_000, "cash": 10_000_000, "positions": 2, "risk_state": RiskState.HALTED.value}
    )
    value = metrics.registry.get_sample_value
    assert value("presage_equity_dollars", {"service": "risk"}) == 12.5
    assert value("presage_positions", {"service": "risk"}) == 2
    assert value("presage_risk_state", {"service": "risk", "state": "halted"}) == 1


def test_no_metric_is_named_twice_and_each_has_a_meaning():
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names))
    for service in STATUS_PORTS:
        described = Metrics(service).described
        assert len({metric.name for metric in described}) == len(described)
        assert all(metric.about for metric in described)
