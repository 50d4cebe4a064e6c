"""The advisor service: ``python -m services.advisor --state DIR``."""

import asyncio
import sys

from libs.config.environment import Environment
from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from libs.tasks import cancel_all
from services.advisor.machine import AdvisorMachine
from services.advisor.shell import AdvisorShell, factory_for


async def main(context: Context) -> None:
    environment = Environment.read()
    keys = {
        "anthropic": environment.anthropic_key.get_secret_value(),
        "openai": environment.openai_key.get_secret_value(),
    }
    host = context.host([AdvisorMachine])
    shell = AdvisorShell(context, host, factory_for(context.run.advisor_url, keys))
    host.extra_report = shell.report
    asking = asyncio.create_task(shell.run())
    # An error of our own in the shell ends the process: a new one goes on from the tape and the log.
    asking.add_done_callback(lambda task: context.stop() if not task.cancelled() else None)
    try:
        await serve_host(context, host)
    finally:
        await cancel_all([asking])


if __name__ == "__main__":
    sys.exit(run_service("advisor", main))
