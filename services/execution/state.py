"""State of the execution machine."""

from msgspec import Struct, field

from libs.bounded import keep_newest
from libs.portfolio.portfolio import Portfolio
from proto.venue import TradeState, TradeStatus
from services.execution.high_water import HighWaterMarks
from services.execution.orders import Admission, TrackedOrder
from services.execution.params import ExecutionParams

UNCONFIRMED_MAX = 1_000
"""Fills of one venue on their way to finality: far more than trade in the minutes that this takes. Beyond it
the oldest are not tracked across the next restart."""


class Counters(Struct):
    """Numbers of ignored messages, each of which an operator may want to explain."""

    illegal: int = 0
    unmatched: int = 0
    overfilled: int = 0
    unverified_claims: int = 0


class UnsettledFill(Struct):
    """A fill that is not final; ``at``: when it traded (ns). It may outlast the machine's memory of its order."""

    order: str
    instrument: str
    at: int
    venue_order_id: str = ""


class VenueRecord(Struct):
    """What the tape says of our account at one live venue; ``reconciled_at`` is the venue's time (ns).

    ``unconfirmed`` (fill id → fill): a trade may fail hours after it matched, also while no process runs.
    """

    portfolio: Portfolio = field(default_factory=Portfolio)
    reconciled_at: int = 0
    unconfirmed: dict[str, UnsettledFill] = field(name="unsettled", default_factory=dict)

    def track_fill(self, trade: TradeState, venue_order_id: str, now: int) -> None:
        """Record a fill's step to finality."""
        if trade.status in (TradeStatus.CONFIRMED, TradeStatus.FAILED):
            self.unconfirmed.pop(trade.fill_id, None)
            return
        fill = UnsettledFill(trade.order, trade.instrument, trade.at or now, venue_order_id)
        self.unconfirmed.setdefault(trade.fill_id, fill)
        keep_newest(self.unconfirmed, UNCONFIRMED_MAX)


class ExecutionState(Struct):
    """``live`` orders can still change; ``ended`` ones are kept a while, oldest first. ``clock_at``: the last tick's time."""

    params: ExecutionParams | None = None
    tape: str = ""
    admission: Admission = Admission.OPEN
    live: dict[str, TrackedOrder] = {}
    ended: dict[str, TrackedOrder] = {}
    venues: dict[str, VenueRecord] = {}
    used: HighWaterMarks = field(default_factory=HighWaterMarks)
    counters: Counters = field(default_factory=Counters)
    clock_at: int = 0

    def order(self, order: str) -> TrackedOrder | None:
        """Return an order that is tracked, whether it can still change or has ended."""
        return self.live.get(order) or self.ended.get(order)
