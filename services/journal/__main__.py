"""The journal service: ``python -m services.journal --state DIR``."""

import sys

from libs.runtime.service import Context, run_service
from services.journal.shell import JournalShell


async def main(context: Context) -> None:
    await JournalShell(context).run()


if __name__ == "__main__":
    sys.exit(run_service("journal", main))
