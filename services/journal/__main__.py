"""The journal service: ``python -m services.journal --state DIR``."""

import sys

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_status
from services.journal.shell import JournalShell


async def main(context: Context) -> None:
    shell = JournalShell(context)
    async with serve_status(context, shell.health):
        await shell.run()


if __name__ == "__main__":
    sys.exit(run_service("journal", main))
