"""Every panel of every dashboard, asked of a real Prometheus over a running system: none is empty, none fails."""

import asyncio
import math
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from libs.observability.report_metrics import ReportMetrics
from proto.operator import Verb
from services.advisor.figures import figures_of
from tests.fault.sandbox_live import trading_at_sandbox
from tests.support.advisor_world import AdvisorWorld
from tests.support.prometheus import Prometheus, needed
from tools.generate.boards import BOARDS, Query

PATIENCE_S = 180.0
"""Thirty seconds before the sandbox's windows close nothing is bought, and what fills takes its time."""
POLL_S = 1.0

AFTER_OUTCOMES = ("presage_advisor_brier", "presage_advisor_weight")
"""Metrics that begin with the first market that ends with a forecast: longer than this system lives."""
QUERIES = [
    (f"{board.uid}: {panel.title}", query)
    for board in BOARDS
    for section in board.sections
    for panel in section.panels
    for query in panel.queries
]


async def empty_ones(prometheus: Prometheus, waiting: list[tuple[str, Query]]) -> list[tuple[str, Query]]:
    """Those of ``waiting`` that have no series with a number."""
    left = []
    for place, query in waiting:
        found = await asyncio.to_thread(prometheus.ask, query.expression)
        if not any(not math.isnan(float(series["value"][1])) for series in found):
            left.append((place, query))
    return left


@pytest.mark.broker
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.asyncio
async def test_no_panel_is_empty_on_a_system_that_trades(tmp_path: Path) -> None:
    needed("prometheus")
    async with trading_at_sandbox(tmp_path / "state", {"advisor.provider": "sandbox"}) as (system, _, _):
        ports = system.installation.layout.read_run().metrics_ports
        with Prometheus(tmp_path / "prometheus", ports) as prometheus:
            # An alert that is sure to come, for the panel that shows those of each rule.
            waiting = [
                (place, query)
                for place, query in QUERIES
                if "alert" not in query.expression and query.expression not in AFTER_OUTCOMES
            ]
            deadline = time.monotonic() + PATIENCE_S
            while waiting := await empty_ones(prometheus, waiting):
                assert time.monotonic() < deadline, f"empty: {waiting}"
                await asyncio.sleep(POLL_S)
            nothing = [("", Query("presage_no_such_metric", ""))]
            assert await empty_ones(prometheus, nothing) == nothing, "the control"
            assert system._desk is not None
            await system._desk.command(Verb.HALT, reason="a test")
            waiting = [(place, query) for place, query in QUERIES if "alert" in query.expression]
            assert waiting
            while waiting := await empty_ones(prometheus, waiting):
                assert time.monotonic() < deadline, f"empty: {waiting}"
                await asyncio.sleep(POLL_S)


def test_what_forecasts_are_worth_is_shown_once_a_market_has_ended(tmp_path: Path) -> None:
    needed("prometheus")
    world = AdvisorWorld(twin=False)
    world.open_market(1)
    world.cycle()
    world.answer_all(70)
    registry = CollectorRegistry()
    metrics = ReportMetrics("advisor", registry)
    metrics.take({"advisor": figures_of(world.state, world.now)})
    assert registry.get_sample_value("presage_advisor_scored_markets", {"service": "advisor"}) == 0
    world.settle(1, happened=True)
    metrics.take({"advisor": figures_of(world.state, world.now)})
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        with Prometheus(tmp_path / "prometheus", {"advisor": server.server_port}) as prometheus:
            deadline = time.monotonic() + PATIENCE_S
            for expression in AFTER_OUTCOMES:
                assert expression in [query.expression for _, query in QUERIES]
                while not prometheus.ask(expression):
                    assert time.monotonic() < deadline, expression
                    time.sleep(POLL_S)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
