"""``presage attach``: the live view of a system that runs without one."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from libs.archive.archive import Archive
from libs.lists.reading import read_window
from libs.operator.watch import Reports, TapeWatch
from libs.runtime.layout import StateLayout
from libs.tape.broker import LOOK_TIMEOUT_S, stream_state
from libs.tape.connection import Link
from libs.tasks import cancel_all
from proto.feed import Book, Candle, FeedClock, Quote, Trade
from proto.monitor import Clock
from proto.risk import PortfolioReport
from proto.subjects import SERVICES, TABLE
from tools.cli.commands.operator import halt_of
from tools.cli.commands.tape import Nats
from tools.cli.live_view import Halt, LiveView
from tools.cli.stages import Stages
from tools.cli.terminal import DEFAULT_STATE, State, console, fail, run
from tools.cli.view_source import NamedBroker, RemoteSystem, ViewSource
from tools.exit_codes import USAGE, NothingDone
from tools.system.installation import expect_run, running_supervisor, tape_access
from tools.system.remote import RemoteTape, remote_history
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
    nats: Nats = "",
    state: State = DEFAULT_STATE,
) -> None:
    """Show the live view of a running system; q or Ctrl-C leaves the view, and the system runs on."""
    if picture is not None:
        picture.write_text(run(frame_of(state, nats)))
        console.print(f"wrote {picture}", highlight=False, soft_wrap=True)
        return
    if not sys.stdout.isatty():
        raise fail("expected a terminal to draw on, was none: presage status says how things are", USAGE)
    console.print(run(attach_to(state, nats)), highlight=False)


class Attached(NamedTuple):
    """A running system: its tape, its reports, what else is known of it, and how it is halted from here."""

    link: Link
    archive: Archive
    source: ViewSource
    halt: Halt | None
    gone: Callable[[], Awaitable[None]]


@asynccontextmanager
async def attached(state: Path, nats: str) -> AsyncIterator[Attached]:
    """The system of a state directory, or of the broker that is named: that one is only looked at.

    Raises:
        NothingDone: nothing runs there.
    """
    reports = Reports()
    if nats:
        async with remote_history(RemoteTape(nats)) as history:
            await reports.listen(history.link)
            yield Attached(history.link, history.archive, NamedBroker(reports), None, _never)
        return
    layout = _running(state)
    async with tape_access(state) as (_, link):
        await reports.listen(link)
        source = RemoteSystem(layout, reports)
        gone = partial(_until_gone, layout)
        yield Attached(link, Archive(layout.archive), source, halt_of(state), gone)


async def frame_of(state: Path, nats: str = "") -> str:
    """What the view of a running system shows now, as SVG.

    Raises:
        NothingDone: nothing runs there.
    """
    async with attached(state, nats) as found:
        view = LiveView(found.source)
        watch = await catch_up(found.link, found.archive, view)
        await watch.read_to(
            int((await stream_state(found.link.client, timeout_s=LOOK_TIMEOUT_S))["last_seq"])
        )
        reports = found.source.reports
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


async def attach_to(state: Path, nats: str = "") -> str:
    """Draw the running system until it is left, or ends; which it was, in words.

    Raises:
        NothingDone: nothing runs there.
    """
    left = "left the view; the system runs on"
    async with attached(state, nats) as found:
        view = LiveView(found.source, halt=found.halt, may_leave=True)
        with Stages() as stages:
            stages.say("reading what happened so far …")
            watch = await catch_up(found.link, found.archive, view)
        drawing = asyncio.create_task(view.run())
        tasks = [asyncio.create_task(watch.follow()), drawing, asyncio.ensure_future(found.gone())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if drawing.done():
                drawing.result()
                return left
        except asyncio.CancelledError:
            return left
        finally:
            await cancel_all(tasks)
    return "the system has stopped"


async def catch_up(link: Link, archive: Archive, view: LiveView) -> TapeWatch:
    """Fold what happened so far, prices only of the last minutes; the watch that goes on from there."""
    last_seq = int((await stream_state(link.client, timeout_s=LOOK_TIMEOUT_S))["last_seq"])
    prices_from = max(0, last_seq - PRICES_BACK)
    for record, message in (await read_window(link, _RARE)).entries:
        if record.seq <= prices_from:
            view.observe(record, message)
            if isinstance(message, PortfolioReport):
                # The curve of the time before, as risk reported it each minute.
                view.model.equity_history.add(message.at, message.equity)
    return TapeWatch(link, archive, view.observe, prices_from)


async def _never() -> None:
    """A broker elsewhere may come back."""
    await asyncio.Event().wait()


async def _until_gone(layout: StateLayout) -> None:
    while running_supervisor(layout):
        await asyncio.sleep(RUNNING_CHECK_S)
