"""The exit service: ``python -m services.exit --state DIR``."""

import sys

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_host
from services.exit.machine import ExitMachine


async def main(context: Context) -> None:
    await serve_host(context, context.host([ExitMachine]))


if __name__ == "__main__":
    sys.exit(run_service("exit", main))
