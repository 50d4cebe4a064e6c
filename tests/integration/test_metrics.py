"""Every service of a running system says how it is: /metrics, /healthz, /readyz."""

import asyncio
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

from libs.observability.metrics import Metrics
from libs.runtime.layout import BUILD
from libs.tape.reader import BATCH_MAX, TapeReader
from proto.risk import PortfolioReport
from proto.subjects import SERVICES
from proto.units import SECOND
from services.feed.synthetic.recording import START_NS, write_recording
from tests.fault.rig import BUSY, SEED
from tests.support.harness import kill, running
from tests.support.host_world import world
from tools.system.options import Options
from tools.system.system import System

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]

NAMES = (
    "presage_hop_latency_seconds_bucket",
    "presage_end_to_end_latency_seconds_bucket",
    "presage_queue_depth",
    "presage_tape_lag_messages",
    "presage_rejections_total",
    "presage_orders",
    "presage_orders_entered_total",
    "presage_unknown_orders",
    "presage_equity_dollars",
    "presage_exposure_dollars",
    "presage_exposure_limit_dollars",
    "presage_divergences_total",
    "presage_permission_violations_total",
    "presage_restarts_total",
    "presage_build_info",
)
PATIENCE_S = 150.0


class Answer(NamedTuple):
    """What an endpoint said."""

    status: int
    text: str


def _fetch(url: str) -> Answer:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as e:
        with e:
            return Answer(e.code, e.read().decode())


async def get(system: System, service: str, path: str) -> Answer:
    port = system.installation.layout.read_run().metrics_ports[service]
    return await asyncio.to_thread(_fetch, f"http://127.0.0.1:{port}{path}")


async def value(system: System, service: str, name: str, labels: str = "") -> float:
    """The value of one series; its labels must hold ``labels``."""
    text = (await get(system, service, "/metrics")).text
    found = [
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if re.match(rf"{name}[{{ ]", line) and labels in line
    ]
    assert found, f"expected {name} of {service}, was none"
    return sum(found)


async def reaches(system: System, service: str, name: str, least: float, labels: str = "") -> float:
    deadline = monotonic() + PATIENCE_S
    while True:
        try:
            if (found := await value(system, service, name, labels)) >= least:
                return found
        except OSError:
            found = -1.0
        assert monotonic() < deadline, f"expected {name} of {service} to reach {least}, was {found}"
        await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_a_played_recording_shows_in_the_metrics(tmp_path: Path) -> None:
    # Risk reports its books every full minute: here ten seconds after the first orders could be.
    recording = write_recording(tmp_path / "recording", SEED, 0.5, start_ns=START_NS + 40 * SECOND)
    options = Options(tmp_path / "state", recordings=[recording], speed=None)
    async with running(options, BUSY) as (system, tape):
        await tape.wait(lambda t: bool(t.of(PortfolioReport)))
        for service in SERVICES:
            metrics = await get(system, service, "/metrics")
            assert metrics.status == 200
            missing = [name for name in NAMES if name not in metrics.text]
            assert not missing, f"{service}: {missing}"
            assert f'presage_build_info{{build="{BUILD}",service="{service}"}} 1.0' in metrics.text
            assert json.loads((await get(system, service, "/healthz")).text)["alive"] is True
            ready = await get(system, service, "/readyz")
            assert ready.status == 200, ready.text
        assert await reaches(system, "monitor", "presage_equity_dollars", 1) > 0
        # The play goes on meanwhile: what is shown is what risk said at some time, now or before.
        limit = await value(system, "monitor", "presage_exposure_limit_dollars")
        await tape.wait(lambda t: limit in {r.exposure_limit / 1e6 for r in t.of(PortfolioReport)})
        assert await reaches(system, "monitor", "presage_hop_latency_seconds_count", 1, 'hop="signal"')
        assert await value(system, "risk", "presage_machine_position", 'machine="risk"') > 0


@pytest.mark.asyncio
async def test_a_reader_knows_how_far_it_is_behind(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for _ in range(BATCH_MAX + 50):
            await w.trade()
        last = await w.last_seq()
        reader = TapeReader(w.link, 0)
        await reader.next_batch(5.0)
        assert 0 < reader.lag < last
        assert reader.position + reader.lag == last
        while reader.position < last:
            await reader.next_batch(5.0)
        assert reader.lag == reader.backlog == 0
        metrics = Metrics("risk")
        metrics.take_report({"state": "live", "backlog": 5, "lag": 7})
        text = metrics.text().decode()
        assert 'presage_queue_depth{service="risk"} 5.0' in text
        assert 'presage_tape_lag_messages{service="risk"} 7.0' in text
        await reader.close()


@pytest.mark.asyncio
async def test_a_killed_service_counts_its_restart(tmp_path: Path) -> None:
    async with running(Options(tmp_path / "state")) as (system, _):
        assert await value(system, "risk", "presage_restarts_total") == 0
        kill(system, "risk")
        assert await reaches(system, "risk", "presage_restarts_total", 1) == 1
        await reaches(system, "risk", "presage_ready", 1)
        ready = await get(system, "risk", "/readyz")
        assert json.loads(ready.text)["ready"] is True
        assert await value(system, "signal", "presage_restarts_total") == 0
