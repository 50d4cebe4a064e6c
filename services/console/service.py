"""The console's parts, put together once a process."""

from time import monotonic
from typing import Any

from libs.keys.verbs import CONSOLE_VERBS
from libs.lists.advice import KINDS, advice_of
from libs.lists.reading import read_kinds
from services.console.accounts import Accounts
from services.console.commands import CommandDesk
from services.console.journal import Journal
from services.console.live import Live
from services.console.sessions import Gatekeeper
from services.console.surroundings import Surroundings

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
