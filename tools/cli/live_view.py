"""The terminal view of a running system: the tape folded, the services' table, drawn four times a second, and its keys."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.live import Live

from libs.lists.orders import KINDS as ORDER_KINDS
from libs.lists.orders import OrderList
from libs.observability.latency import StoredTimes
from libs.tape.errors import TapeError
from libs.tape.record import TapeRecord
from libs.view.model import ViewModel
from libs.view.venues import venue_rows
from proto.message import Message
from tools.cli.pressed_keys import PressedKeys
from tools.cli.view_source import ViewSource
from tools.exit_codes import UsageError
from tools.view.keys import Shown, Wish
from tools.view.render import export_svg, render

DRAW_EVERY_S = 0.25
ORDERS_KEPT = 500
"""Rows of the page of orders; all of them are in the journal."""
Halt = Callable[[], Awaitable[str]]


class LiveView:
    """Draws a system until cancelled, or left by its key.

    ``picture`` names a file that gets the last frame as SVG; ``halt`` gives the command, where one can be given, and answers
    what came of it; ``may_leave``: the system goes on without the view.
    """

    def __init__(
        self,
        source: ViewSource,
        picture: Path | None = None,
        halt: Halt | None = None,
        *,
        may_leave: bool = False,
    ) -> None:
        self.model = ViewModel(whose_money=source.account)
        self.shown = Shown(may_halt=halt is not None, may_leave=may_leave)
        self.orders = OrderList()
        self._source = source
        self._picture = picture
        self._halt = halt
        self._halting: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._left = False
        self._times = StoredTimes()

    def observe(self, record: TapeRecord, message: Message) -> None:
        """Take one message of the tape."""
        self._times.put(record.seq, record.stored_at_ns)
        self.model.on(
            message,
            record.seq,
            record.stored_at_ns,
            self._times.get(record.cause),
            self._times.get(record.root),
        )
        if isinstance(message, ORDER_KINDS):
            self.orders.add([(record, message)])
            self.orders.forget(ORDERS_KEPT)

    async def run(self) -> None:
        """Draw until cancelled, or left by its key; a key is seen at once."""
        console = Console()
        try:
            with (
                Live(console=console, screen=True, auto_refresh=False, transient=True) as live,
                PressedKeys(self.press) as keys,
            ):
                while not self._left:
                    self._changed.clear()
                    self.refresh()
                    shown = self.shown if keys.are_read else None
                    orders = list(self.orders.rows.values())
                    live.update(
                        render(self.model, console.width, console.height, shown, orders), refresh=True
                    )
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), DRAW_EVERY_S)
        finally:
            if self._halting is not None:
                # Whoever pressed it and then left meant it all the same.
                await asyncio.wait([self._halting])
            if self._picture is not None:
                self._picture.write_text(export_svg(self.model))

    def press(self, key: str) -> None:
        """Take a key."""
        wish = self.shown.press(key)
        if wish is Wish.LEAVE:
            self._left = True
        elif wish is Wish.HALT and self._halt is not None and (self._halting is None or self._halting.done()):
            self.shown.told = "halting …"
            self._halting = asyncio.create_task(self._give_halt(self._halt))
        self._changed.set()

    async def _give_halt(self, halt: Halt) -> None:
        try:
            self.shown.told = await halt()
        except (OSError, TapeError, UsageError) as e:
            self.shown.told = f"not halted: {e}"
        self._changed.set()

    def refresh(self) -> None:
        """Bring the services and venues up to date, and what the HALT file says."""
        source = self._source
        self.model.whose_money = source.account
        self.model.halt_file = source.halt_file
        self.model.console_url = source.console_url
        self.model.show_services(source.services(self.model.seq))
        self.model.show_venues(venue_rows(source.reports.latest, source.live, source.account), source.account)
