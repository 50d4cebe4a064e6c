"""The monitor's state: what it remembers of orders, positions, feeds and its own alerts."""

import msgspec

from proto.evaluation import Edit
from proto.feed import Market
from proto.monitor import Severity
from services.monitor.conditions import AlertCondition
from services.monitor.params import MonitorParams

COUNTER_UNKNOWN = -1
"""No Quote or Book of the instrument was seen in this session: any counter is a beginning."""


class ActiveAlert(msgspec.Struct, gc=False):
    """An alert that was raised and is not over. ``until`` (ns) ends a notice; 0 means until cleared."""

    severity: Severity
    until: int = 0


class OrderRecord(msgspec.Struct, gc=False):
    """An order that may still trade. ``status`` is empty until execution first speaks of it."""

    instrument: str
    market: str
    progress_at: int
    status: str = ""
    filled: int = 0
    approved: bool = False
    claimed: bool = False
    reduce_only: bool = False
    immediate: bool = False


class FinishedOrder(msgspec.Struct, gc=False, array_like=True):
    """What is kept of an order that is over, for late fills, claims and repeated approvals."""

    approved: bool
    claimed: bool


class PositionRecord(msgspec.Struct):
    """What fills make of one instrument. ``quantity`` is signed millionths of a contract.

    ``unmanaged_at``: since when the exit service shows nothing for it; ``covered_at``: when an exit
    last worked or was proposed. ``unapproved`` is the order without approval that traded, if any.
    ``kept``: it is below the venue's lot, and the exit service is done with it.
    ``fills`` (fill id -> signed quantity) makes repeats and corrections exact.
    """

    market: str
    quantity: int = 0
    managed: bool = False
    unmanaged_at: int = 0
    covered_at: int = 0
    unapproved: str = ""
    kept: bool = False
    fills: dict[str, int] = msgspec.field(default_factory=dict)


class UnconfirmedFill(msgspec.Struct, gc=False):
    """A fill that may still fail, and since when it has been so."""

    instrument: str
    since: int


class FeedRecord(msgspec.Struct, gc=False):
    """Continuity of one instrument's feed. ``attention`` sends its messages the long way round.

    ``gapped`` is the topic of the alert that covers its gap: the instrument, or its venue.
    """

    seen_at: int
    counter: int = COUNTER_UNKNOWN
    attention: bool = True
    silent: bool = False
    gapped: str = ""


class ReportPair(msgspec.Struct, gc=False):
    """The portfolio digests two holders reported for the same moment."""

    risk: str = ""
    exit: str = ""


class WatchedChange(msgspec.Struct):
    """A change of a setting in the hour in which it may be taken back.

    ``at`` and ``seq``: when and where it was applied; ``next_look`` counts the looks that were begun; ``asked_minutes`` is
    that of the look whose answer is waited for since ``asked_at``, 0 for none; ``judged`` those that were answered.
    """

    edit: Edit
    at: int
    seq: int
    next_look: int = 0
    asked_minutes: int = 0
    asked_at: int = 0
    judged: list[int] = msgspec.field(default_factory=list)
    is_reverting: bool = False


class PriceStep(msgspec.Struct, gc=False, array_like=True):
    """The price of an instrument at a moment (0: none), and what was traded from then to the next step."""

    at: int
    price: int
    volume: int = 0


class WatchedInstrument(msgspec.Struct):
    """What is known of an instrument that a condition of the operator's is about; 0 where nothing is."""

    bid: int = 0
    ask: int = 0
    last: int = 0
    fair: int = 0
    fair_at: int = 0
    steps: list[PriceStep] = msgspec.field(default_factory=list)


class MonitorState(msgspec.Struct):
    """Everything the monitor knows. Plain data: snapshot and restore round-trip it."""

    params: MonitorParams | None = None
    fresh: bool = True
    clock_at: int = 0
    active: dict[str, dict[str, ActiveAlert]] = msgspec.field(default_factory=dict)
    notices_suppressed: int = 0
    orders: dict[str, OrderRecord] = msgspec.field(default_factory=dict)
    finished: dict[str, FinishedOrder] = msgspec.field(default_factory=dict)
    approved_count: int = 0
    claimed_count: int = 0
    positions: dict[str, PositionRecord] = msgspec.field(default_factory=dict)
    settled: dict[str, bool] = msgspec.field(default_factory=dict)
    reconciled: dict[str, int] = msgspec.field(default_factory=dict)
    unconfirmed: dict[str, UnconfirmedFill] = msgspec.field(default_factory=dict)
    decided: dict[str, int] = msgspec.field(default_factory=dict)
    feeds: dict[str, FeedRecord] = msgspec.field(default_factory=dict)
    markets: dict[str, Market] = msgspec.field(default_factory=dict)
    reports: dict[int, ReportPair] = msgspec.field(default_factory=dict)
    risk_state: str = ""
    rejections_count: int = 0
    rejections_since: int = 0
    changes: dict[str, WatchedChange] = msgspec.field(default_factory=dict)
    conditions: list[AlertCondition] = msgspec.field(default_factory=list)
    watched: dict[str, WatchedInstrument] = msgspec.field(default_factory=dict)
    told: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
