"""The monitor service: ``python -m services.monitor --state DIR``."""

import asyncio
import sys

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from libs.tasks import cancel_all
from services.monitor.machine import MonitorMachine
from services.monitor.shell import MonitorShell


async def main(context: Context) -> None:
    host = context.host([MonitorMachine])
    shell = MonitorShell(context, host)
    await shell.start()
    tasks = [asyncio.create_task(shell.clock_loop()), asyncio.create_task(shell.publish_loop())]
    if shell.notifier is not None:
        tasks.append(asyncio.create_task(shell.notifier.run()))
    try:
        await serve_host(context, host)
    finally:
        await cancel_all(tasks)


if __name__ == "__main__":
    sys.exit(run_service("monitor", main))
