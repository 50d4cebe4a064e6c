"""Every service's status endpoints: ``/metrics``, ``/healthz``, ``/readyz``."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from libs.config.environment import ChildEnvironment
from libs.machine.host import Host
from libs.observability.metrics import Metrics
from libs.observability.server import Readiness, StatusServer
from libs.observability.tape_metrics import TapeMetrics
from libs.runtime.layout import BUILD
from libs.runtime.service import Context
from libs.tape.record import TapeRecord
from libs.tasks import cancel_all
from proto.message import Message

REFRESH_S = 0.5

Health = Callable[[], dict[str, Any]]


@asynccontextmanager
async def serve_status(context: Context, health: Health) -> AsyncIterator[Metrics]:
    """Serve the endpoints of a service while the block runs; ``health`` is its own report."""
    metrics = Metrics(context.service, BUILD)
    metrics.restarts.set(ChildEnvironment.read().restarts)

    def readiness() -> Readiness:
        report = health()
        return Readiness(report["state"] == "live", f"{report['state']} {report.get('detail', '')}".strip())

    server = StatusServer(metrics, readiness)
    await server.start(_inherited_socket())
    refreshing = asyncio.create_task(_refresh(metrics, health))
    try:
        yield metrics
    finally:
        await cancel_all([refreshing])
        await server.close()


def _inherited_socket() -> socket.socket | None:
    """The supervisor's socket; ``None`` for a process that was started by hand: it takes any free port."""
    descriptor = ChildEnvironment.read().status_socket
    return None if descriptor is None else socket.socket(fileno=descriptor)


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
        await host.run()
