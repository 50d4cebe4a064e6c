"""The console's parts, put together once a process."""

from time import monotonic
from typing import Any

from libs.keys.verbs import CONSOLE_VERBS
from libs.lists.advice import KINDS, advice_of
from libs.lists.reading import read_kinds
from libs.lists.settings import SettingRow, read_origins, read_overrides, settings_of
from services.console.accounts import Accounts
from services.console.commands import CommandDesk
from services.console.evaluation import read_evaluation
from services.console.journal import Journal
from services.console.live import Live
from services.console.sessions import Gatekeeper
from services.console.surroundings import Surroundings
from services.console.work import Work

ADVICE_KEPT_S = 5.0
"""The advisor's list is read from the tape on request, once for all who ask within this time."""


class Console:
    """What routes and pages use."""

    def __init__(self, now: Surroundings, *, is_secure: bool) -> None:
        self.now = now
        self.accounts = Accounts(now.layout.console)
        self.gatekeeper = Gatekeeper(self.accounts, is_secure=is_secure)
        self.live = Live(now)
        self.desk = CommandDesk(now, CONSOLE_VERBS)
        self.journal = Journal(now.run.database_url)
        self.work = Work(now)
        self._advice: dict[str, Any] | None = None
        self._advice_at_s = 0.0

    async def advice(self) -> dict[str, Any]:
        """What the advisor forecast, its record and its cost, from the tape.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        if self._advice is None or monotonic() - self._advice_at_s > ADVICE_KEPT_S:
            reading = await read_kinds(self.now.history(), KINDS)
            self._advice = advice_of(reading.entries).document()
            self._advice_at_s = monotonic()
        return self._advice

    async def evaluation(self) -> dict[str, Any]:
        """What evaluations found, what was proposed and what became of it, from the tape.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        return await read_evaluation(self.now.history(), self.now.fold.view.now)

    async def settings(self) -> list[SettingRow]:
        """Every setting that counts now, and where it comes from.

        Raises:
            BrokerUnavailable: the broker did not answer.
        """
        sections = {name: setting.document for name, setting in sorted(self.now.fold.sections.items())}
        overrides = await read_overrides(self.now.history())
        return settings_of(sections, read_origins(self.now.layout), overrides)
