"""Where the live view gets its services' states from: the system in this process, or reports alone."""

from collections.abc import Collection
from time import monotonic
from typing import Protocol

from libs.operator.watch import Reports
from libs.runtime.layout import StateLayout
from libs.view.rows import ServiceRow
from proto.subjects import CONSOLE, OPTIONAL_SERVICES, SERVICES
from tools.live.money import account_of
from tools.system.system import System
from tools.view import styles

SILENT_AFTER_S = 3.0


class ViewSource(Protocol):
    """A running system as the view needs it. ``live``: venues that get real orders."""

    reports: Reports

    @property
    def account(self) -> str: ...

    @property
    def halt_file(self) -> str | None: ...

    @property
    def live(self) -> Collection[str]: ...

    @property
    def console_url(self) -> str: ...

    def services(self, seq: int) -> list[ServiceRow]: ...


def read_halt_file(layout: StateLayout) -> str | None:
    """What the HALT file says; ``None`` without one."""
    try:
        return layout.halt_file.read_text().strip()
    except OSError:
        return None


class OwnSystem:
    """The system of this process: its supervisor knows more than the services report."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.reports = system.reports
        self._account = account_of(system.options.money, system.options.live)

    @property
    def account(self) -> str:
        """Whose money moves."""
        return self._account

    @property
    def halt_file(self) -> str | None:
        """What the HALT file says."""
        return read_halt_file(self._system.installation.layout)

    @property
    def live(self) -> Collection[str]:
        """Venues that get real orders."""
        return self._system.options.live

    @property
    def console_url(self) -> str:
        """Where the console is."""
        return self._system.console_url

    def services(self, seq: int) -> list[ServiceRow]:
        """A row for each child of the supervisor."""
        children = self._system.supervisor.children.items()
        return [
            service_row(self.reports, name, seq, is_down=child.process is None, restarts=child.restarts)
            for name, child in children
        ]


class Reported:
    """A system that is seen through its reports alone."""

    def __init__(self, reports: Reports) -> None:
        self.reports = reports

    @property
    def live(self) -> Collection[str]:
        """Venues for which execution reports a gate."""
        return list(self.reports.latest.get("execution", {}).get("venues", {}))

    def services(self, seq: int) -> list[ServiceRow]:
        """A row for each service; one that was never heard is missing."""
        latest = self.reports.latest
        names = (*SERVICES, *(name for name in (*OPTIONAL_SERVICES, CONSOLE) if name in latest))
        return [service_row(self.reports, name, seq, is_down=name not in latest) for name in names]


class RemoteSystem(Reported):
    """A system of another process of this machine: its state directory says the rest."""

    def __init__(self, layout: StateLayout, reports: Reports) -> None:
        super().__init__(reports)
        self._layout = layout
        self._account = layout.money_file.read_text() if layout.money_file.exists() else "paper"
        self._console_url = layout.read_run().console_url if layout.was_run else ""

    @property
    def account(self) -> str:
        """Whose money moves."""
        return self._account

    @property
    def halt_file(self) -> str | None:
        """What the HALT file says."""
        return read_halt_file(self._layout)

    @property
    def console_url(self) -> str:
        """Where the console is."""
        return self._console_url


class NamedBroker(Reported):
    """A system elsewhere, of which nothing is known but its broker."""

    console_url = ""
    halt_file = None

    @property
    def account(self) -> str:
        """Paper where no venue gets orders; whose money it is otherwise, only its state directory says."""
        return "paper" if self.reports.latest.get("execution") and not self.live else styles.UNKNOWN_MONEY


def service_row(reports: Reports, service: str, seq: int, *, is_down: bool, restarts: int = 0) -> ServiceRow:
    """A service's newest report as a row of the table; ``seq`` is where the tape is."""
    report = reports.latest.get(service, {})
    silent = monotonic() - reports.heard_at_s.get(service, 0.0) > SILENT_AFTER_S
    state = "missing" if is_down or (report and silent) else report.get("state", "starting")
    position = int(report.get("position", 0))
    # The feed writes and does not read: its position is its own counter.
    lag = 0 if service == "feed" else max(0, seq - position)
    return ServiceRow(service, state, position, lag, restarts, str(report.get("detail", "")))
