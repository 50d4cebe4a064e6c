"""Every service's status endpoints: ``/metrics``, ``/healthz``, ``/readyz``."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from libs.config.environment import ChildEnvironment, Environment
from libs.machine.host import Host
from libs.observability.metrics import Metrics
from libs.observability.server import Readiness, StatusServer
from libs.observability.tape_metrics import TapeMetrics
from libs.runtime.layout import BUILD
from libs.runtime.service import Context
from libs.tape.credentials import STANDBY
from libs.tape.record import TapeRecord
from libs.tasks import cancel_all
from proto.message import Message

REFRESH_S = 0.5
LIVE = "live"

Health = Callable[[], dict[str, Any]]


@asynccontextmanager
async def serve_status(context: Context, health: Health) -> AsyncIterator[Metrics]:
    """Serve the endpoints of a service while the block runs; ``health`` is its own report."""
    metrics = Metrics(context.service, BUILD)
    metrics.restarts.set(ChildEnvironment.read().restarts)

    def readiness() -> Readiness:
        report = health()
        return Readiness(
            report["state"] in (LIVE, STANDBY), f"{report['state']} {report.get('detail', '')}".strip()
        )

    server = StatusServer(metrics, readiness)
    await server.start(status_socket())
    refreshing = asyncio.create_task(_refresh(metrics, lambda: health() | _lease_part(context)))
    try:
        yield metrics
    finally:
        await cancel_all([refreshing])
        await server.close()


def status_socket() -> socket.socket | None:
    """The supervisor's socket, or one at the address that the operator set; ``None``: any free port does.

    Raises:
        OSError: the address cannot be listened at.
    """
    descriptor = ChildEnvironment.read().status_socket
    if descriptor is not None:
        return socket.socket(fileno=descriptor)
    host, _, port = Environment.read().status_address.rpartition(":")
    return socket.create_server((host, int(port))) if host else None


def _lease_part(context: Context) -> dict[str, Any]:
    """What the process says of its lease, where there are leases."""
    return {} if context.lease is None else {"lease": context.lease.report()}


async def _refresh(metrics: Metrics, health: Health) -> None:
    while True:
        metrics.take_report(health())
        await asyncio.sleep(REFRESH_S)


async def serve_host(context: Context, host: Host) -> None:
    """Run a host, with its status endpoints, until the service is stopped."""
    async with serve_status(context, host.health) as metrics:
        fold = TapeMetrics(metrics)

        def observe(record: TapeRecord, event: Message) -> None:
            fold.on(event, record.seq, record.stored_at_ns, record.cause, record.root)

        host.observers.append(observe)
        host.before_live = settle_memory
        await host.run()


def settle_memory() -> None:
    """What was folded by now stays for long: the collector need not walk it between a tick and its order."""
    gc.collect()
    gc.freeze()
