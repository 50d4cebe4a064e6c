"""The watch over our own servers: what dies or hangs is started again, and the state is told."""

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from types import SimpleNamespace

import pytest

from libs.operator.watch import Reports
from libs.tape import broker as broker_module
from libs.tape.broker import Broker
from libs.tape.credentials import OPERATOR
from libs.tape.errors import BrokerUnavailable
from libs.tape.reports import BELIEVED_S
from tests.support.cluster import with_cluster
from tests.support.waiting import until
from tools.system import servers
from tools.system.installation import Installation
from tools.system.servers import ServerWatch

pytestmark = [pytest.mark.broker, pytest.mark.postgres, pytest.mark.slow]

PATIENCE_S = 60.0


@asynccontextmanager
async def watched(root: Path, *, monitor: bool) -> AsyncIterator[tuple[Installation, ServerWatch, Reports]]:
    """Both servers, watched; ``monitor``: the monitor says that it lives, although nothing ticks."""
    installation = Installation(root)
    with_cluster(root / "postgres")
    link = watching = None
    try:
        await asyncio.gather(installation.start_broker(), installation.start_database())
        link = await installation.connect(OPERATOR)
        reports = Reports()
        if monitor:
            reports.latest["monitor"] = {"state": "live"}
            reports.heard_at_s["monitor"] = monotonic() + PATIENCE_S
        watch = ServerWatch(installation, link, reports, realtime=True)
        watching = asyncio.create_task(watch.watch())
        yield installation, watch, reports
        assert not watching.done()
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        if link is not None:
            await link.close()
        await installation.stop()


def told(installation: Installation) -> dict[str, object]:
    path = installation.layout.servers_file
    return dict(json.loads(path.read_text())) if path.exists() else {}


@pytest.mark.asyncio
async def test_killed_servers_are_started_again_where_their_clients_look(tmp_path):
    async with watched(tmp_path / "state", monitor=False) as (installation, watch, _):
        port = installation.broker.port
        os.kill(installation.broker.pid, signal.SIGKILL)
        await until(lambda: watch.broker_restarts == 1 and watch.broker_state == "up")
        assert installation.broker.port == port
        database = installation.database.pid
        assert database is not None
        os.kill(database, signal.SIGKILL)
        await until(lambda: watch.database_restarts == 1 and watch.database_state == "up")
        await until(lambda: told(installation) == watch.document())
        assert watch.document() == {
            "broker": "up",
            "broker_restarts": 1,
            "database": "up",
            "database_restarts": 1,
        }


@pytest.mark.asyncio
async def test_a_port_that_somebody_was_quicker_at_is_left_to_him_until_clients_know_it(
    tmp_path, monkeypatch
):
    # Whoever looks finds every port free: the other one always comes between the look and the broker.
    monkeypatch.setattr(broker_module, "_is_free", lambda _: True)
    broker = Broker(tmp_path)
    wanted = broker.port
    try:
        with socket.create_server(("127.0.0.1", wanted)):
            broker.start()
            await broker.ready()
            assert broker.port != wanted
        known = broker.port
        assert Broker(tmp_path).port == known
        broker.stop()
        with socket.create_server(("127.0.0.1", known)):
            broker.start()
            with pytest.raises(BrokerUnavailable, match="address already in use"):
                await broker.ready()
        broker.start()
        await broker.ready()
        assert broker.port == known
    finally:
        broker.stop()


@pytest.mark.asyncio
async def test_a_broker_that_hangs_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "HUNG_AFTER_S", 1.0)
    async with watched(tmp_path / "state", monitor=False) as (installation, watch, _):
        hung = installation.broker.pid
        os.kill(hung, signal.SIGSTOP)
        # On a busy machine the next one may seem to hang as well.
        await until(lambda: watch.broker_restarts >= 1 and watch.broker_state == "up")
        assert installation.broker.pid != hung


@pytest.mark.asyncio
async def test_a_tape_that_does_not_grow_is_frozen_only_while_the_monitor_ticks(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "STALLED_AFTER_S", 0.5)
    async with watched(tmp_path / "state", monitor=False) as (_, watch, reports):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await until(lambda: watch.broker_restarts > 0)
        reports.latest["monitor"] = {"state": "live"}
        reports.heard_at_s["monitor"] = monotonic() + PATIENCE_S
        await until(lambda: watch.broker_restarts > 0)


@pytest.mark.asyncio
async def test_a_full_disk_closes_the_gate_by_a_file_and_room_opens_it(tmp_path, monkeypatch):
    free = {"bytes": 1 << 40}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free["bytes"]))
    async with watched(tmp_path / "state", monitor=False) as (installation, watch, reports):
        pause_file = installation.layout.pause_file
        assert not pause_file.exists()
        free["bytes"] = 1 << 20
        await until(pause_file.exists)
        await until(lambda: told(installation).get("broker") == "disk full")
        assert watch.database_state == "disk full"
        free["bytes"] = 1 << 40
        await until(lambda: not pause_file.exists())
        reports.heard_at_s["journal"] = monotonic() + PATIENCE_S
        reports.latest["journal"] = {"journal": {"state": "disk_full"}}
        await until(pause_file.exists)
        reports.latest["journal"] = {"journal": {"state": "live"}}
        await until(lambda: not pause_file.exists())


@pytest.mark.asyncio
async def test_a_report_that_lies_stops_orders_no_longer_than_its_sender_is_believed(tmp_path):
    async with watched(tmp_path / "state", monitor=False) as (installation, watch, reports):
        pause_file = installation.layout.pause_file
        operator, liar = await installation.connect(OPERATOR), await installation.connect("journal")
        try:
            await reports.listen(operator)
            await operator.client.flush()

            async def say(body: object) -> None:
                await liar.client.publish("report.journal", json.dumps(body).encode())
                await liar.client.flush()

            # What would end the watch, if it were read as it is.
            await say({"service": "journal", "state": "live", "journal": "disk_full"})
            await say({"service": "journal", "state": "live", "journal": {"state": "disk_full"}})
            await until(pause_file.exists)
            assert watch.database_state == "disk full"
            # Then it falls silent.
            await until(lambda: not pause_file.exists())
            assert monotonic() - reports.heard_at_s["journal"] >= BELIEVED_S
        finally:
            await operator.close()
            await liar.close()
