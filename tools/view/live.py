"""The view on a terminal: tape records in, frames out."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from libs.observability.latency import StoredTimes
from libs.tape.record import TapeRecord
from proto.message import Message
from tools.view.model import ServiceRow, ViewModel
from tools.view.render import render

SILENT_AFTER_S = 3.0
"""Services report twice a second; one that has not for so long is shown as missing."""


class ViewFeed:
    """Feeds a model from tape records, and remembers when causes were stored."""

    def __init__(self, model: ViewModel) -> None:
        self.model = model
        self._times = StoredTimes()

    def on_record(self, record: TapeRecord, message: Message) -> None:
        """Take one readable record, in tape order."""
        times = self._times
        times.put(record.seq, record.stored_at_ns)
        self.model.on(
            message,
            record.seq,
            record.stored_at_ns,
            times.get(record.cause),
            times.get(record.root),
        )


def service_rows(
    services: Sequence[str],
    reports: Mapping[str, Mapping[str, Any]],
    silent_s: Mapping[str, float],
    restarts: Mapping[str, int],
    last_seq: int,
) -> list[ServiceRow]:
    """The table of services.

    ``reports`` are the newest health reports, ``silent_s`` the seconds since they came, ``restarts``
    the supervisor's counts, ``last_seq`` the end of the tape. A service that never reported is starting.
    """
    rows = []
    for name in services:
        report = reports.get(name)
        if report is None:
            rows.append(ServiceRow(name, "starting", restarts=restarts.get(name, 0)))
            continue
        position = int(report.get("position", 0))
        missing = silent_s.get(name, 0.0) > SILENT_AFTER_S
        rows.append(
            ServiceRow(
                name=name,
                state="missing" if missing else str(report.get("state", "starting")),
                position=position,
                # A service that only writes has no position, and so no lag.
                lag=max(0, last_seq - position) if position else 0,
                restarts=restarts.get(name, 0),
                detail=str(report.get("detail", "")),
            )
        )
    return rows


class LiveView:
    """Takes the whole terminal while the block runs, and gives it back as it was.

    Frames are drawn when :meth:`refresh` is called, four times a second is plenty; each has the size that
    the terminal has at that moment.
    """

    def __init__(self, model: ViewModel, console: Console | None = None) -> None:
        self.model = model
        self._console = console or Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        self.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def refresh(self) -> None:
        """Draw the model as it is now."""
        width, height = self._console.size
        self._live.update(render(self.model, width, height), refresh=True)
