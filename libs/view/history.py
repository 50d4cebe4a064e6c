"""What the view remembers over time, in bounded memory: equity, latencies, decisions."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from proto.units import SECOND

EQUITY_POINTS_MAX = 2_048
"""Ten times the dots of a wide chart; when full, every second point goes and the interval doubles."""
LATENCIES_MAX = 1_000
"""Latest values a hop: enough for a p99, few enough to sort for every frame."""
DECISIONS_MAX = 200
FOLDED_BACK = 20
"""Rows looked back for the same rejection: strategies that take turns at a few markets."""


class EquityPoint(NamedTuple):
    """Equity in millionths of a dollar at a session time in nanoseconds."""

    at: int
    equity: int


class EquityHistory:
    """The equity curve, thinned as it grows: it always spans the whole session."""

    def __init__(self) -> None:
        self.points: list[EquityPoint] = []
        self._interval_ns = SECOND

    def add(self, at: int, equity: int) -> None:
        """Add a point; one that is too close to the one before replaces it."""
        points = self.points
        if points and at < points[-1].at:
            # A new session began earlier than the last one ended: its curve is another one.
            points.clear()
        if len(points) > 1 and at - points[-2].at < self._interval_ns:
            points[-1] = EquityPoint(at, equity)
            return
        points.append(EquityPoint(at, equity))
        if len(points) > EQUITY_POINTS_MAX:
            del points[1:-1:2]
            self._interval_ns *= 2


class Percentiles(NamedTuple):
    """Of the latest values, in nanoseconds."""

    p50: int
    p99: int


class Latencies:
    """The latest latencies of each hop."""

    def __init__(self) -> None:
        self._values: dict[str, deque[int]] = {}

    def add(self, hop: str, took_ns: int) -> None:
        """Record one."""
        values = self._values.get(hop)
        if values is None:
            values = self._values[hop] = deque(maxlen=LATENCIES_MAX)
        values.append(took_ns)

    def percentiles(self, hop: str) -> Percentiles | None:
        """Nearest-rank percentiles; ``None`` before the first value."""
        values = sorted(self._values.get(hop, ()))
        if not values:
            return None
        count = len(values)
        return Percentiles(values[(count - 1) // 2], values[-(-99 * count // 100) - 1])


@dataclass(slots=True)
class Decision:
    """A line of the list of decisions: a proposal and what became of it, a fill, a settlement.

    ``outcome``: proposed, approved, rejected, pending, fill, settled, refused. ``count`` says how often
    the same thing happened in a row.
    """

    at: int
    strategy: str
    market: str
    instrument: str
    side: str
    outcome: str
    price: int | None = None
    quantity: int = 0
    is_exit: bool = False
    reasons: tuple[str, ...] = ()
    count: int = 1
    order: str = ""
    checks: tuple[str, ...] = ()
    """Names of the checks that failed."""
    seq: int = 0
    """Where the message that told of it stands on the tape."""

    def same_as(self, other: "Decision") -> bool:
        """Whether two decisions differ only in their numbers."""
        return self._same() == other._same()

    def _same(self) -> tuple[object, ...]:
        return self.strategy, self.instrument, self.side, self.outcome, self.is_exit, self.checks


@dataclass
class DecisionLog:
    """The latest decisions, newest last; the same rejection again only raises a count."""

    latest: deque[Decision] = field(default_factory=lambda: deque(maxlen=DECISIONS_MAX))

    def open(self, decision: Decision) -> None:
        """A proposal: its outcome follows."""
        self.latest.append(decision)

    def close(self, decision: Decision) -> None:
        """An outcome. It takes the place of the proposal it belongs to, if that is still in sight."""
        proposed = next(
            (
                earlier
                for earlier in reversed(self.latest)
                if earlier.outcome in ("proposed", "pending")
                and earlier.is_exit == decision.is_exit
                and (earlier.strategy, earlier.instrument) == (decision.strategy, decision.instrument)
            ),
            None,
        )
        if proposed is not None:
            self.latest.remove(proposed)
            # An approval has no reason but the proposal's own.
            decision.reasons = decision.reasons or proposed.reasons
        if decision.outcome == "rejected":
            self._fold(decision)
        self.latest.append(decision)

    def _fold(self, decision: Decision) -> None:
        """Take the place of the same rejection from a moment ago, also when another one came in between."""
        for back, earlier in enumerate(reversed(self.latest)):
            if back >= FOLDED_BACK or earlier.outcome not in ("rejected", "proposed"):
                return
            if earlier.same_as(decision):
                decision.count = earlier.count + 1
                self.latest.remove(earlier)
                return

    def add(self, decision: Decision) -> None:
        """Something that stands for itself."""
        self.latest.append(decision)
