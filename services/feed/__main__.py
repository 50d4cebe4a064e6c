"""The feed service: ``python -m services.feed --state DIR``."""

import sys

from libs.runtime.service import Context, run_service
from services.feed.shell import FeedShell


async def main(context: Context) -> None:
    await FeedShell(context).run()


if __name__ == "__main__":
    sys.exit(run_service("feed", main))
