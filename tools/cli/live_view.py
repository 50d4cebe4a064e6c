"""The terminal view of a running system: the tape folded, the services' table, drawn four times a second."""

import asyncio
from pathlib import Path

from rich.console import Console
from rich.live import Live

from libs.observability.latency import StoredTimes
from libs.runtime.layout import StateLayout
from libs.tape.record import TapeRecord
from libs.view.model import ViewModel
from libs.view.venues import venue_rows
from proto.message import Message
from tools.cli.view_source import ViewSource
from tools.view.render import export_svg, render

DRAW_EVERY_S = 0.25


def read_halt_file(layout: StateLayout) -> str | None:
    """What the HALT file says; ``None`` without one."""
    try:
        return layout.halt_file.read_text().strip()
    except OSError:
        return None


class LiveView:
    """Draws a system until cancelled. ``picture`` names a file that gets the last frame as SVG."""

    def __init__(self, source: ViewSource, picture: Path | None = None) -> None:
        self.model = ViewModel(whose_money=source.account)
        self._source = source
        self._picture = picture
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

    async def run(self) -> None:
        """Draw until cancelled."""
        console = Console()
        try:
            with Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
                while True:
                    self.refresh()
                    live.update(render(self.model, console.width, console.height), refresh=True)
                    await asyncio.sleep(DRAW_EVERY_S)
        finally:
            if self._picture is not None:
                self._picture.write_text(export_svg(self.model))

    def refresh(self) -> None:
        """Bring the services and venues up to date, and what the HALT file says."""
        source = self._source
        self.model.halt_file = read_halt_file(source.layout)
        self.model.console_url = source.console_url
        self.model.show_services(source.services(self.model.seq))
        self.model.show_venues(venue_rows(source.reports.latest, source.live, source.account), source.account)
