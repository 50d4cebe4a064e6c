"""The console service: ``python -m services.console --state DIR``."""

import sys

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_status
from services.console.shell import ConsoleShell


async def main(context: Context) -> None:
    shell = ConsoleShell(context)
    async with serve_status(context, shell.health):
        await shell.run()


if __name__ == "__main__":
    sys.exit(run_service("console", main))
