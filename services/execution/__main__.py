"""The execution service: ``python -m services.execution --state DIR``. Hosts the paper venue too."""

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence

from libs.machine.host import Fact
from libs.machine.runner import Effect
from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from libs.tasks import cancel_all
from libs.venues.gateway import VenueGateway
from services.execution.gateways import make_gateways
from services.execution.machine import ExecutionMachine
from services.execution.paper.machine import PaperMachine
from services.execution.shell import ExecutionShell

log = logging.getLogger("presage.execution")


async def main(context: Context) -> None:
    def gateways(venues: Sequence[str]) -> Sequence[VenueGateway]:
        return make_gateways(venues, context.run, context.layout)

    async def before_publish(effect: Effect) -> Sequence[Fact]:
        return await shell.before_publish(effect)

    host = context.host([ExecutionMachine, PaperMachine], before_publish=before_publish)
    shell = ExecutionShell(context, host, gateways)
    # What rests at a venue is cancelled first, and how that ended still goes onto the tape.
    context.on_stop.remove(host.stop)
    await shell.start()
    beside = [asyncio.create_task(shell.live.run()), *map(asyncio.create_task, shell.claims.loops())]
    beside[0].add_done_callback(lambda task: _restart_if_failed(context, task))
    stopping = asyncio.create_task(_stop_in_order(context, shell, host.stop))
    try:
        await serve_host(context, host)
    finally:
        await cancel_all([*beside, stopping])
        await shell.live.close()


def _restart_if_failed(context: Context, task: asyncio.Task[None]) -> None:
    """Stop the process after an error in the desk itself: a new one restores from the tape and the venue."""
    if not task.cancelled() and task.exception() is not None:
        log.error("desk failed", exc_info=task.exception())
        context.stop()


async def _stop_in_order(context: Context, shell: ExecutionShell, stop_host: Callable[[], None]) -> None:
    await context.stopping.wait()
    try:
        await shell.live.stop()
    finally:
        stop_host()


if __name__ == "__main__":
    sys.exit(run_service("execution", main))
