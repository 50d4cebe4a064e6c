"""Risk: one decision on a proposal, sizing and every check included, signing and I/O not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import NamedTuple

from bench.result import Figure, Tell, rate
from libs.machine.machine import Stamp
from libs.operator.desk import opening
from proto.execution import OrderStatus, OrderUpdate
from proto.feed import Book, FeedClock, FeeSchedule, Level, Market, MarketStatus, Outcome, PriceStep, Side
from proto.message import Message
from proto.operator import ClockOwner, Mode
from proto.risk import Approval, Rejection
from proto.signal import Proposal
from proto.units import ONE, SECOND
from proto.venue import Account, Fill
from services.risk.machine import RiskMachine
from tools.system.composition import sections
from tools.system.summary import percentile

DECISIONS = 40_000
WARM_DECISIONS = 2_000
MARKETS = 24
PROPOSALS_PER_SECOND = 100
"""Of session time: far more than any strategy makes."""
HELD = 4
START_NS = 1_779_000_000 * SECOND
MEDIAN_AIM_US = 15
RATE_AIM = 20_000

CHANGES = {
    "risk.cooldown_s": "0",
    "risk.repeat_s": "0",
    "risk.order_rate_max_count": "10000",
    "risk.order_rate_window_s": "1",
}
"""Without them the shipped pace limits would turn every proposal but the first into a rejection."""


class Desk:
    """A risk machine with an account, positions in a few markets, and books of all of them."""

    def __init__(self, changes: Mapping[str, str] = CHANGES) -> None:
        self.machine = RiskMachine()
        self.now = START_NS
        self.seq = 0
        for message in opening(
            "bench",
            mode=Mode.PLAYBACK,
            clock_owner=ClockOwner.FEED,
            started_at_ns=START_NS,
            sections=sections(overrides=changes),
        ):
            self.send(message)
        self.send(Account(account_id="start", venue="paper", deposit=10_000 * ONE, at=self.now))
        for number in range(MARKETS):
            self._open(number)
        for number in range(HELD):
            self._hold(number)

    def send(self, message: Message) -> Sequence[Message]:
        """Put one message on the machine's tape."""
        self.seq += 1
        return self.machine.on(message, Stamp(self.seq, self.now, f"bench:signal:{self.seq}:0"))

    def _open(self, number: int) -> None:
        name = f"kalshi:KXBENCH-{number}"
        outcomes = tuple(Outcome(outcome, f"{name}:{outcome}") for outcome in ("yes", "no"))
        self.send(
            Market(
                market=name,
                venue="kalshi",
                at=self.now,
                status=MarketStatus.OPEN,
                outcomes=outcomes,
                close_at=self.now + 3_600 * SECOND,
                price_steps=(PriceStep(0, 10_000),),
                quantity_step=ONE,
                fees=FeeSchedule(model="kalshi_quadratic", taker_rate=70_000, maker_rate=0),
                group=f"group-{number // 3}",
            )
        )
        self._show(number)

    def _show(self, number: int) -> None:
        """A whole book; every fourth market's is too wide to be traded on."""
        ask = 500_000 if number % 4 else 700_000
        bids = tuple(Level(490_000 - 10_000 * step, 2_000 * ONE) for step in range(10))
        asks = tuple(Level(ask + 10_000 * step, 2_000 * ONE) for step in range(10))
        for outcome in ("yes", "no"):
            instrument = f"kalshi:KXBENCH-{number}:{outcome}"
            self.send(
                Book(instrument=instrument, at=self.now, counter=1, bids=bids, asks=asks, snapshot=True)
            )

    def pass_second(self) -> None:
        """A second later: fresh books, the clock."""
        self.now += SECOND
        for number in range(MARKETS):
            self._show(number)
        self.send(FeedClock(at=self.now))

    def _hold(self, number: int) -> None:
        name = f"kalshi:KXBENCH-{number}"
        self.send(
            Fill(
                fill_id=f"fill-{number}",
                order=f"bench-{number}-0",
                market=name,
                instrument=f"{name}:yes",
                strategy="momentum",
                side=Side.BUY,
                price=500_000,
                quantity=10 * ONE,
                fee=175_000,
                at=self.now,
            )
        )

    def proposal(self, number: int) -> Proposal:
        """Good ones, ones without edge, ones on wide books, ones far from the book, by turns."""
        name = f"kalshi:KXBENCH-{number % MARKETS}"
        price = 900_000 if number % 7 == 0 else 500_000
        fair = 505_000 if number % 5 == 0 else 700_000
        return Proposal(
            strategy="momentum",
            market=name,
            instrument=f"{name}:{'yes' if number % 2 else 'no'}",
            side=Side.BUY,
            price=price,
            fair_value=fair,
            edge=fair - price,
            strength=ONE,
            expires_at=self.now + 5 * SECOND,
        )

    def release(self, approval: Approval) -> None:
        """The order ends unfilled, so that the next decision finds the same world."""
        self.send(
            OrderUpdate(
                order=approval.order,
                status=OrderStatus.EXPIRED,
                instrument=approval.instrument,
                market=approval.market,
                strategy=approval.strategy,
            )
        )


class Decisions(NamedTuple):
    """How long each decision took, in microseconds."""

    approved_us: list[float]
    rejected_us: list[float]

    @property
    def both_us(self) -> list[float]:
        return self.approved_us + self.rejected_us


def decisions(desk: Desk, count: int) -> Decisions:
    """Have so many proposals decided, after a few that warm up.

    Raises:
        RuntimeError: when not all were answered, or none was approved, or none refused.
    """
    found = Decisions([], [])
    for number in range(WARM_DECISIONS + count):
        proposal = desk.proposal(number)
        if number % PROPOSALS_PER_SECOND == 0:
            desk.pass_second()
        before = perf_counter_ns()
        outputs = desk.send(proposal)
        took_us = (perf_counter_ns() - before) / 1e3
        answer = outputs[0] if outputs else None
        if isinstance(answer, Approval):
            desk.release(answer)
        if number >= WARM_DECISIONS and isinstance(answer, Approval | Rejection):
            (found.approved_us if isinstance(answer, Approval) else found.rejected_us).append(took_us)
    approved, rejected = len(found.approved_us), len(found.rejected_us)
    if approved + rejected != count or not approved or not rejected:
        raise RuntimeError(f"expected approvals and rejections, was {approved} and {rejected}")
    return found


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Time of each decision, approvals and rejections apart, and decisions a second over all of them."""
    tell(f"{DECISIONS:,} proposals")
    found = decisions(Desk(), DECISIONS)
    approved_us, rejected_us, both = found.approved_us, found.rejected_us, found.both_us
    return [
        Figure("risk decision p50", percentile(both, 0.5) or 0.0, "µs", MEDIAN_AIM_US),
        Figure("risk decision p99", percentile(both, 0.99) or 0.0, "µs"),
        Figure(f"  approvals ({len(approved_us):,}) p50", percentile(approved_us, 0.5) or 0.0, "µs"),
        Figure(f"  rejections ({len(rejected_us):,}) p50", percentile(rejected_us, 0.5) or 0.0, "µs"),
        rate("risk decisions", len(both), sum(both) / 1e6, "decisions", RATE_AIM),
    ]
