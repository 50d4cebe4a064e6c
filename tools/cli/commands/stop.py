"""``presage stop``: end the running system, and say when it has ended."""

import asyncio
import os
import signal
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from libs.runtime.layout import StateLayout
from tools.cli.terminal import DEFAULT_STATE, AsJson, State, print_outcome, run
from tools.exit_codes import NothingDone
from tools.system.installation import expect_run, running_supervisor

CHECK_EVERY_S = 0.05
PATIENCE_S = 60.0
"""A stop takes a few seconds; on a busy machine, with a database to close, some more."""


def stop(
    within: Annotated[float, typer.Option(help="Give up waiting after so many seconds.")] = PATIENCE_S,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Stop the running system as Ctrl-C does, and wait until nothing of it is left.

    Working orders stay where they are: `presage halt` cancels them first.
    """
    print_outcome(run(stop_system(state, within)), as_json)


async def stop_system(state: Path, patience_s: float) -> dict[str, Any]:
    """Ask the supervisor to stop, and wait for it.

    Raises:
        NothingDone: none runs, or it has not ended in time.
        UsageError: nothing was ever run there.
    """
    layout = StateLayout(state)
    expect_run(state, finished_start=False)
    pid = running_supervisor(layout)
    if not pid:
        raise NothingDone(f"expected a running system in {layout.root}, was none")
    began = monotonic()
    os.kill(pid, signal.SIGTERM)
    while running_supervisor(layout) == pid:
        if monotonic() - began > patience_s:
            raise NothingDone(f"expected process {pid} to end within {patience_s:g} s, was still there")
        await asyncio.sleep(CHECK_EVERY_S)
    took_s = round(monotonic() - began, 1)
    return {"pid": pid, "took_s": took_s, "text": f"stopped: process {pid} has ended after {took_s} s"}
