"""What became of a price afterwards: marks at fixed times after a moment, from the prices that follow it on the tape."""

import heapq
from dataclasses import dataclass, field

from libs.bounded import keep_newest
from proto.units import SECOND

SOON_S = 300
LATER_S = 1_800
LONG_S = 3_600
HORIZONS_S = (SOON_S, LATER_S, LONG_S)
"""After five minutes, half an hour, an hour: longer than a signal lives, shorter than the day."""
WATCHED_MAX = 20_000
"""Moments watched at a time: a storm of refusals must not fill the memory."""
INSTRUMENTS_MAX = 20_000
"""Prices remembered."""


@dataclass(slots=True, eq=False)
class Markout:
    """The bid of an instrument at a moment, and at the horizons after it; the highest one within half an hour.

    ``None``: there was none, or the tape ends before. A market that ended is worth what it paid.
    """

    instrument: str
    at: int
    bid: int | None
    ask: int | None
    marks: dict[int, int | None] = field(default_factory=dict)
    highest: int | None = None

    def gain(self, horizon_s: int, paid: int | None = None) -> int | None:
        """What a contract bought for ``paid`` (else at the ask) would have made when sold at the bid then."""
        price = self.ask if paid is None else paid
        mark = self.marks.get(horizon_s)
        return None if price is None or mark is None else mark - price


class PriceWatch:
    """Newest bid and ask of each instrument, and the moments that wait for what comes after them."""

    def __init__(self) -> None:
        self._tops: dict[str, tuple[int | None, int | None]] = {}
        self._ended: dict[str, int] = {}
        self._due: list[tuple[int, int, int, Markout]] = []
        self._highs: dict[str, list[Markout]] = {}
        self._number = 0
        self.unwatched = 0
        """Moments that were not watched because there were too many."""

    def top(self, instrument: str) -> tuple[int | None, int | None]:
        """Bid and ask as they are now."""
        return self._tops.get(instrument, (None, None))

    def on_price(self, instrument: str, bid: int | None, ask: int | None) -> None:
        """The best prices changed."""
        if instrument in self._ended:
            return
        self._tops[instrument] = (bid, ask)
        if len(self._tops) > INSTRUMENTS_MAX:
            keep_newest(self._tops, INSTRUMENTS_MAX)
        if bid is not None:
            for markout in self._highs.get(instrument, ()):
                markout.highest = bid if markout.highest is None else max(markout.highest, bid)

    def on_payout(self, instrument: str, price: int) -> None:
        """The instrument has ended and paid: that is its price from now on."""
        self.on_price(instrument, price, price)
        self._ended[instrument] = price
        keep_newest(self._ended, INSTRUMENTS_MAX)

    def watch(self, instrument: str, now: int) -> Markout:
        """Remember the prices of a moment, and look at what comes after it."""
        bid, ask = self.top(instrument)
        made = Markout(instrument, now, bid, ask, highest=bid)
        if len(self._due) + len(HORIZONS_S) > WATCHED_MAX * len(HORIZONS_S):
            self.unwatched += 1
            return made
        for horizon_s in HORIZONS_S:
            self._number += 1
            heapq.heappush(self._due, (now + horizon_s * SECOND, self._number, horizon_s, made))
        self._highs.setdefault(instrument, []).append(made)
        return made

    def advance(self, now: int) -> None:
        """Time has come to ``now``: moments whose horizon lies before it get their mark. Call before a new price."""
        while self._due and self._due[0][0] < now:
            _, _, horizon_s, markout = heapq.heappop(self._due)
            markout.marks[horizon_s] = self.top(markout.instrument)[0]
            if horizon_s == LATER_S:
                self._end_high(markout)

    def _end_high(self, markout: Markout) -> None:
        waiting = self._highs.get(markout.instrument, [])
        if markout in waiting:
            waiting.remove(markout)
        if not waiting:
            self._highs.pop(markout.instrument, None)

    def finish(self) -> None:
        """The tape ends: what has been paid out is known, the rest is not."""
        for _, _, horizon_s, markout in self._due:
            if markout.instrument in self._ended:
                markout.marks[horizon_s] = self._ended[markout.instrument]
        self._due.clear()
        self._highs.clear()
