"""An archiver as a process of its own, to be killed: ``python -m tests.support.archiver_process``."""

import asyncio
import sys
from pathlib import Path

from libs.tape.connection import open_link
from services.journal import archiver
from services.journal.archiver import Archiver


async def main(url: str, password: str, folder: str, segment_seq: str) -> None:
    """Archive until killed."""
    archiver.CHECK_EVERY_S = 0.02
    link = await open_link(url, "journal", password)
    await Archiver(link, Path(folder), "t", segment_seq=int(segment_seq), settled_seq=0).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
