"""``presage attach``: the live view of a system that runs without one."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from libs.archive.archive import Archive
from libs.lists.reading import read_window
from libs.operator.watch import Reports, TapeWatch
from libs.runtime.layout import StateLayout
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tasks import cancel_all
from proto.feed import Book, Candle, FeedClock, Quote, Trade
from proto.monitor import Clock
from proto.risk import PortfolioReport
from proto.subjects import SERVICES, TABLE
from tools.cli.live_view import LiveView
from tools.cli.stages import Stages
from tools.cli.terminal import DEFAULT_STATE, State, console, fail, run
from tools.cli.view_source import RemoteSystem
from tools.exit_codes import USAGE, NothingDone
from tools.system.installation import expect_run, running_supervisor, tape_access
from tools.view.render import export_svg

PRICES_BACK = 20_000
"""Messages from where on prices are read too: enough that each market's came again."""
RUNNING_CHECK_S = 1.0
REPORTS_PATIENCE_S = 5.0
"""For the first report of each service; they come twice a second."""
_OFTEN = (Quote, Book, Trade, Candle, FeedClock, Clock)
_RARE = [row.model for row in TABLE if row.model not in _OFTEN]


def attach(
    picture: Annotated[
        Path | None, typer.Option(help="Write one frame as SVG instead, and leave; needs no terminal.")
    ] = None,
    state: State = DEFAULT_STATE,
) -> None:
    """Show the live view of a running system; Ctrl-C leaves the view, and the system runs on."""
    if picture is not None:
        picture.write_text(run(frame_of(state)))
        console.print(f"wrote {picture}", highlight=False, soft_wrap=True)
        return
    if not sys.stdout.isatty():
        raise fail("expected a terminal to draw on, was none: presage status says how things are", USAGE)
    console.print(run(attach_to(state)), highlight=False)


async def frame_of(state: Path) -> str:
    """What the view of a running system shows now, as SVG.

    Raises:
        NothingDone: nothing runs there.
    """
    layout = _running(state)
    async with tape_access(state) as (_, link):
        reports = Reports()
        await reports.listen(link)
        view = LiveView(RemoteSystem(layout, reports))
        watch = await catch_up(link, Archive(layout.archive), view)
        await watch.read_to(int((await stream_state(link.client))["last_seq"]))
        await reports.wait_for(lambda latest: all(name in latest for name in SERVICES), REPORTS_PATIENCE_S)
        await watch.close()
        view.refresh()
    return export_svg(view.model, title="presage up")


def _running(state: Path) -> StateLayout:
    layout = StateLayout(state)
    expect_run(state)
    if not running_supervisor(layout):
        raise NothingDone(f"expected a running system in {layout.root}, was none: presage up starts one")
    return layout


async def attach_to(state: Path) -> str:
    """Draw the running system until Ctrl-C, or until it ends; which it was, in words.

    Raises:
        NothingDone: nothing runs there.
    """
    layout = _running(state)
    async with tape_access(state) as (_, link):
        reports = Reports()
        await reports.listen(link)
        view = LiveView(RemoteSystem(layout, reports))
        with Stages() as stages:
            stages.say("reading what happened so far …")
            watch = await catch_up(link, Archive(layout.archive), view)
        tasks = [asyncio.create_task(work) for work in (watch.follow(), view.run(), _until_gone(layout))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            return "left the view; the system runs on"
        finally:
            await cancel_all(tasks)
    return "the system has stopped"


async def catch_up(link: Link, archive: Archive, view: LiveView) -> TapeWatch:
    """Fold what happened so far, prices only of the last minutes; the watch that goes on from there."""
    last_seq = int((await stream_state(link.client))["last_seq"])
    prices_from = max(0, last_seq - PRICES_BACK)
    for record, message in (await read_window(link, _RARE)).entries:
        if record.seq <= prices_from:
            view.observe(record, message)
            if isinstance(message, PortfolioReport):
                # The curve of the time before, as risk reported it each minute.
                view.model.equity_history.add(message.at, message.equity)
    return TapeWatch(link, archive, view.observe, prices_from)


async def _until_gone(layout: StateLayout) -> None:
    while running_supervisor(layout):
        await asyncio.sleep(RUNNING_CHECK_S)
