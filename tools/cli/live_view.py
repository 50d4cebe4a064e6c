"""The terminal view of a running system: the tape folded, the services' table, drawn four times a second."""

import asyncio
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.live import Live

from libs.observability.latency import StoredTimes
from libs.tape.record import TapeRecord
from proto.message import Message
from tools.cli.venue_status import venue_rows
from tools.live.money import account_of
from tools.system.system import System
from tools.view.model import ServiceRow, ViewModel
from tools.view.render import export_svg, render

DRAW_EVERY_S = 0.25
SILENT_AFTER_S = 3.0


class LiveView:
    """Draws a system until cancelled. ``picture`` names a file that gets the last frame as SVG."""

    def __init__(self, system: System, picture: Path | None = None) -> None:
        self._account = account_of(system.options.money, system.options.live)
        self.model = ViewModel(whose_money=self._account)
        self._system = system
        self._picture = picture
        self._times = StoredTimes()
        system.observers.append(self._observe)

    def _observe(self, record: TapeRecord, message: Message) -> None:
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
        """Bring the services' table up to date."""
        rows: list[ServiceRow] = []
        latest = self._system.reports.latest
        for service, child in self._system.supervisor.children.items():
            report = latest.get(service, {})
            silent = monotonic() - self._system.reports.heard_at_s.get(service, 0.0) > SILENT_AFTER_S
            state = (
                "missing" if child.process is None or (report and silent) else report.get("state", "starting")
            )
            position = int(report.get("position", 0))
            # The feed writes and does not read: its position is its own counter.
            lag = 0 if service == "feed" else max(0, self.model.seq - position)
            rows.append(
                ServiceRow(service, state, position, lag, child.restarts, str(report.get("detail", "")))
            )
        self.model.show_services(rows)
        options = self._system.options
        self.model.show_venues(venue_rows(latest, options.live, self._account), self._account)
