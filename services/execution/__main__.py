"""The execution service: ``python -m services.execution --state DIR``. Hosts the paper venue too."""

import asyncio
import sys

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from services.execution.machine import ExecutionMachine
from services.execution.paper.machine import PaperMachine
from services.execution.shell import ExecutionShell


async def main(context: Context) -> None:
    shell = ExecutionShell(context)
    host = context.host([ExecutionMachine, PaperMachine], before_publish=shell.before_publish)
    await shell.start(host)
    sweeping = asyncio.create_task(shell.sweep_loop())
    try:
        await serve_host(context, host)
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(run_service("execution", main))
