"""``python -m tools.offline.worker --state DIR``: the evaluator of a running system, at the lowest priority."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from libs.observability import logs
from libs.runtime.layout import StateLayout
from libs.runtime.service import SUPERVISOR_CHECK_S
from libs.tape.connection import open_link
from libs.tape.errors import TapeError
from libs.tasks import run_until_first
from proto.subjects import EVALUATOR
from tools.offline.worker.service import Evaluator

NICENESS = 19
"""Nothing that trades ever waits for it; its jobs inherit it."""


async def serve(root: Path) -> None:
    """Serve until SIGTERM or SIGINT, or until the supervisor is gone: no process stays behind, however it ended."""
    layout = StateLayout(root)
    run = layout.read_run()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    link = await open_link(run.broker_url, EVALUATOR, layout.password(EVALUATOR))
    try:
        await run_until_first(
            Evaluator(layout, run, link).run(), _wait(stop), _supervisor_gone(run.supervisor_pid)
        )
    finally:
        await link.close()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _supervisor_gone(supervisor: int) -> None:
    while not supervisor or os.getppid() == supervisor:
        await asyncio.sleep(SUPERVISOR_CHECK_S)


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description="The evaluator of a running system.")
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()
    logs.setup(EVALUATOR)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    try:
        asyncio.run(serve(options.state))
    except TapeError as e:
        sys.exit(f"{e}")


if __name__ == "__main__":
    main()
