"""Every panel of every dashboard, asked of a real Prometheus over a running system: none is empty, none fails."""

import asyncio
import math
from pathlib import Path
from time import monotonic

import pytest

from proto.operator import Verb
from tests.fault.sandbox_live import trading_at_sandbox
from tests.support.prometheus import Prometheus, needed
from tools.generate.boards import BOARDS, Query

PATIENCE_S = 180.0
"""Thirty seconds before the sandbox's windows close nothing is bought, and what fills takes its time."""
POLL_S = 1.0

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
@pytest.mark.timeout(400)
@pytest.mark.asyncio
async def test_no_panel_is_empty_on_a_system_that_trades(tmp_path: Path) -> None:
    needed("prometheus")
    async with trading_at_sandbox(tmp_path / "state", {"advisor.provider": "sandbox"}) as (system, _, _):
        ports = system.installation.layout.read_run().metrics_ports
        with Prometheus(tmp_path / "prometheus", ports) as prometheus:
            # An alert that is sure to come, for the panel that shows those of each rule.
            waiting = [(place, query) for place, query in QUERIES if "alert" not in query.expression]
            deadline = monotonic() + PATIENCE_S
            while waiting := await empty_ones(prometheus, waiting):
                assert monotonic() < deadline, f"empty: {waiting}"
                await asyncio.sleep(POLL_S)
            nothing = [("", Query("presage_no_such_metric", ""))]
            assert await empty_ones(prometheus, nothing) == nothing, "the control"
            assert system._desk is not None
            await system._desk.command(Verb.HALT, reason="a test")
            waiting = [(place, query) for place, query in QUERIES if "alert" in query.expression]
            assert waiting
            while waiting := await empty_ones(prometheus, waiting):
                assert monotonic() < deadline, f"empty: {waiting}"
                await asyncio.sleep(POLL_S)
