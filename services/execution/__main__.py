"""The execution service: ``python -m services.execution --state DIR``. Hosts the paper venue too."""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from libs.venues.gateway import VenueGateway
from services.execution.gateways import make_gateways
from services.execution.machine import ExecutionMachine
from services.execution.paper.machine import PaperMachine
from services.execution.shell import ExecutionShell

log = logging.getLogger("presage.execution")


async def main(context: Context) -> None:
    def gateways(venues: Sequence[str]) -> Sequence[VenueGateway]:
        return make_gateways(venues, context.run, context.layout)

    shell = ExecutionShell(context, gateways)
    host = context.host([ExecutionMachine, PaperMachine], before_publish=shell.before_publish)
    # What rests at a venue is cancelled first, and how that ended still goes onto the tape.
    context.on_stop.remove(host.stop)
    await shell.start(host)
    beside = [asyncio.create_task(shell.sweep_loop()), asyncio.create_task(shell.trade_loop())]
    beside[1].add_done_callback(lambda task: _restart_if_failed(context, task))
    stopping = asyncio.create_task(_stop_in_order(context, shell, host.stop))
    try:
        await serve_host(context, host)
    finally:
        for task in (*beside, stopping):
            task.cancel()
        await asyncio.gather(*beside, stopping, return_exceptions=True)
        await shell.close()


def _restart_if_failed(context: Context, task: asyncio.Task[None]) -> None:
    """An error in the desk itself: a new process reads from the tape and the venue where things stand."""
    if not task.cancelled() and task.exception() is not None:
        log.error("desk failed", exc_info=task.exception())
        context.stop()


async def _stop_in_order(context: Context, shell: ExecutionShell, stop_host: Callable[[], None]) -> None:
    await context.stopping.wait()
    try:
        await shell.stop()
    finally:
        stop_host()


if __name__ == "__main__":
    sys.exit(run_service("execution", main))
