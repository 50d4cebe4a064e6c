"""The feed service: ``python -m services.feed --state DIR``."""

import sys

from libs.runtime.service import Context, run_service
from libs.runtime.wiring import serve_status
from services.feed.shell import FeedShell


async def main(context: Context) -> None:
    shell = FeedShell(context)
    async with serve_status(context, shell.health):
        await shell.run()


if __name__ == "__main__":
    sys.exit(run_service("feed", main))
