"""A reference price's last minutes, asked for before its socket is opened: strategies need not wait for them.

The answers are frames like all others, so they are recorded, and on the tape before the first live trade. What
cannot be had is a gap on the tape and a note in the feed's health: strategies then warm up on live trades.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from libs.bounded import clip
from libs.venues.errors import VenueError
from services.feed import control
from services.feed.live.questions import Question

PAST_PATIENCE_S = 10.0
"""What a socket waits for the past, all instruments together: prices of now are worth more than those of before."""
REASON_CHARACTERS_MAX = 160

log = logging.getLogger("presage.feed.live")


class PastPrices:
    """Asks for the past of a venue's instruments. ``missing``: instrument → why its past is not there."""

    def __init__(self, venue: str) -> None:
        self.missing: dict[str, str] = {}
        self._venue = venue

    @property
    def notes(self) -> list[str]:
        """What is missing, in words."""
        return [
            f"{instrument} has no history ({reason}): strategies wait until they have seen enough of it"
            for instrument, reason in self.missing.items()
        ]

    async def load(self, questions: Sequence[Question]) -> list[bytes]:
        """Ask each question, named by its instrument; the feed's frames for those that were not answered.

        Never raises for what a venue does: after ``PAST_PATIENCE_S`` what has not come counts as missing.
        """
        failed = {instrument: f"no answer within {PAST_PATIENCE_S:.0f} s" for instrument, _ in questions}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PAST_PATIENCE_S):
                for instrument, ask in questions:
                    try:
                        await ask()
                    except VenueError as e:
                        failed[instrument] = clip(
                            str(e).removeprefix(f"{self._venue}: "), REASON_CHARACTERS_MAX
                        )
                    else:
                        del failed[instrument]
        for instrument, reason in failed.items():
            log.warning("%s: no history of %s: %s", self._venue, instrument, reason)
        self.missing = failed
        return [control.no_past(self._venue, instrument, reason) for instrument, reason in failed.items()]
