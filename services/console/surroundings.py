"""What the parts of the console share: the fold, the services' reports, the state directory, the links."""

from typing import Any

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.operator.watch import Reports
from libs.runtime.layout import RunFile, StateLayout
from libs.tape.connection import Link
from libs.view.wording import sign_of
from proto.subjects import SERVICES
from services.console.fold import ConsoleFold


class Surroundings:
    """Everything a page, an answer or a command needs; one object a process."""

    def __init__(
        self, layout: StateLayout, run: RunFile, link: Link, reports: Reports, fold: ConsoleFold, build: str
    ) -> None:
        self.layout = layout
        self.run = run
        self.link = link
        self.reports = reports
        self.fold = fold
        self.build = build
        self.archive = Archive(layout.archive)

    def unit(self) -> str:
        """The sign of the account's money."""
        return sign_of(self.fold.view.whose_money)

    def is_connected(self) -> bool:
        """Whether the broker answers."""
        return self.link.connected

    def history(self) -> History:
        """The whole tape: archive and window."""
        return History(self.link, self.archive)

    def risk_state(self) -> str:
        """What risk lets through, as it says itself; empty when it is silent."""
        return str(self.reports.believed("risk").get("risk_state", ""))

    def halted_by_file(self) -> str:
        """What the HALT file says; empty without one."""
        try:
            return self.layout.halt_file.read_text().strip() or "halted"
        except OSError:
            return ""

    def run_state(self) -> dict[str, Any]:
        """What decides whether orders may leave, as ``presage status`` has it."""
        expected = (*SERVICES, *(name for name in self.run.optional_services if name != "console"))
        try:
            servers = self.layout.read_servers()
        except (OSError, ValueError):
            servers = {}
        return {
            "running": True,
            "halted": self.halted_by_file(),
            "broker": "up" if self.is_connected() else "gone",
            "servers": servers,
            "services": {name: self.reports.believed(name) or {"state": "missing"} for name in expected},
        }
