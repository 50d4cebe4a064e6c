"""Running a system to its end: with a progress bar, with the live view, until a signal."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from libs.operator.watch import Reports, TapeWatch
from libs.tasks import cancel_all
from tools.system.system import System, Tell, untold

STOPPED_CHECK_S = 0.5
STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what systemd sends, and the terminal that was closed: all of them stop by plan."""


class PlayProgress:
    """A progress bar on a terminal; silent elsewhere."""

    def __init__(self, recordings: Sequence[Path], *, visible: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not visible,
        )
        self._task = self._bar.add_task("playing", total=len(recordings), detail="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, feed: Mapping[str, Any], watch: TapeWatch | None) -> None:
        """Show how far it is."""
        detail = f"{feed.get('frames', 0):,} frames, tape {watch.position if watch else 0:,}"
        self._bar.update(self._task, completed=done, description=str(feed.get("detail", "")), detail=detail)


async def run_headless(system: System, *, visible: bool, tell: Tell = untold) -> dict[str, Any]:
    """Start, play or run, stop; the summary. ``visible``: a progress bar on stderr; ``tell``: what it is at."""

    async def work() -> None:
        telling = asyncio.create_task(_report_stopped(system.reports))
        try:
            await _work(system, visible=visible)
        finally:
            telling.cancel()

    return await _run(system, work, tell)


async def _report_stopped(reports: Reports) -> None:
    """Say on stderr which services do not go on, and why: the run waits for them."""
    told: dict[str, str] = {}
    while True:
        await reports.wait_for(lambda _: False, STOPPED_CHECK_S)
        for service, report in reports.latest.items():
            stopped = report.get("state") in ("refused", "stopped")
            text = f"{service} {report['state']}: {report.get('detail', '')}" if stopped else ""
            if text and told.get(service) != text:
                print(f"presage: {text}", file=sys.stderr)
            told[service] = text


async def _run(system: System, work: Callable[[], Coroutine[Any, Any, None]], tell: Tell) -> dict[str, Any]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPPING_SIGNALS:
        loop.add_signal_handler(number, stop.set)

    async def whole() -> None:
        await system.start(tell)
        tell("")
        await work()

    working = asyncio.create_task(whole())
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        await cancel_all([working, waiting])
        tell("stopping …")
        await system.stop()
    return system.summary.document()


async def run_viewed(
    system: System, draw: Callable[[], Awaitable[None]], tell: Tell = untold
) -> dict[str, Any]:
    """As ``run_headless``, with the terminal view instead of a progress bar, until the stop begins."""

    async def work() -> None:
        drawing = asyncio.ensure_future(draw())
        try:
            await _work(system, visible=False)
        finally:
            await cancel_all([drawing])

    return await _run(system, work, tell)


async def _work(system: System, *, visible: bool) -> None:
    if system.options.recordings:
        with PlayProgress(system.options.recordings, visible=visible) as progress:
            await system.play(progress)
    elif system.options.for_s is not None:
        await asyncio.sleep(system.options.for_s)
    else:
        await asyncio.Event().wait()
