"""Growth: what a message costs with 10 and with 10,000 markets, and a decision with 1,000 open orders.

In one process, without a broker: all machines over quotes of every instrument in turn, a thousand a second of session
time, and the clock that goes with them. The processor's time counts, so the figure is steady on a busy machine too.
"""

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time

from bench import risk_decision
from bench.result import Figure, Tell
from bench.risk_decision import CHANGES, START_NS, Desk
from libs.exchange.exchange import PaperExchange
from libs.exchange.orders import ExchangeOrder
from libs.machine.inprocess import InProcess
from libs.operator.desk import opening
from proto.execution import NO_APPROVAL, OrderStatus, OrderUpdate
from proto.feed import (
    Book,
    FeedClock,
    FeeSchedule,
    Level,
    Market,
    MarketStatus,
    Outcome,
    PriceStep,
    Quote,
)
from proto.message import Message
from proto.operator import ClockOwner, Mode
from proto.risk import TimeInForce
from proto.units import MILLISECOND, ONE, SECOND
from services.execution.claims import claims_of
from tools.system.composition import factories, sections
from tools.system.summary import percentile

FEW, MANY = 10, 10_000
MESSAGES_PER_S = 1_000
WARM_S, SECONDS = 2, 20
TIMES_MAX = 2.0
"""The plan: what a message may cost with the many, in terms of the few."""
OPEN_ORDERS = 1_000
DECISIONS = 5_000
DECISION_AIM_US = 20.0
PAPER_ORDERS = 300
OUTCOMES = ("yes", "no")


def _market(number: int) -> Market:
    name = f"kalshi:KXGROW-{number}"
    outcomes = tuple(Outcome(outcome, f"{name}:{outcome}") for outcome in OUTCOMES)
    return Market(
        market=name,
        venue="kalshi",
        at=START_NS,
        status=MarketStatus.OPEN,
        outcomes=outcomes,
        close_at=START_NS + 3_600 * SECOND,
        price_steps=(PriceStep(0, 10_000),),
        quantity_step=ONE,
        fees=FeeSchedule(model="kalshi_quadratic", taker_rate=70_000),
        group=f"group-{number // 3}",
    )


def _levels(price: int) -> tuple[Level, ...]:
    return (Level(price, 2_000 * ONE),)


def _quotes(instruments: Sequence[str], seconds: int) -> Iterator[list[Message]]:
    """Second by second: the clock, then quotes of all instruments in turn."""
    counters = dict.fromkeys(instruments, 1)
    place = 0
    for second in range(1, seconds + 1):
        at = START_NS + second * SECOND
        messages: list[Message] = [FeedClock(at=at)]
        for _ in range(MESSAGES_PER_S):
            instrument = instruments[place % len(instruments)]
            place += 1
            counters[instrument] += 1
            bid = 480_000 + 10_000 * (place % 2)
            messages.append(
                Quote(
                    instrument=instrument,
                    at=at,
                    counter=counters[instrument],
                    bid=bid,
                    bid_size=ONE,
                    ask=bid + 10_000,
                    ask_size=ONE,
                )
            )
        yield messages


def with_markets(count: int) -> tuple[float, float]:
    """Microseconds of processor time a message, and milliseconds of the slowest one."""
    runner = InProcess([make() for make in factories().values()], "bench", claims_of)
    session = opening(
        "bench",
        mode=Mode.PLAYBACK,
        clock_owner=ClockOwner.FEED,
        started_at_ns=START_NS,
        sections=sections(),
    )
    runner.feed_together(session, "operator")
    instruments = [f"kalshi:KXGROW-{number}:{outcome}" for number in range(count) for outcome in OUTCOMES]
    for number in range(count):
        runner.feed(_market(number))
    for instrument in instruments:
        runner.feed(
            Book(
                instrument=instrument,
                at=START_NS,
                counter=1,
                bids=_levels(480_000),
                asks=_levels(490_000),
                snapshot=True,
            )
        )
    rounds = list(_quotes(instruments, WARM_S + SECONDS))
    gc.collect()
    gc.freeze()
    slowest = spent = 0.0
    for number, messages in enumerate(rounds):
        began = process_time()
        for message in messages:
            before = perf_counter()
            runner.feed(message)
            took = perf_counter() - before
            if number >= WARM_S and took > slowest:
                slowest = took
        if number >= WARM_S:
            spent += process_time() - began
    gc.unfreeze()
    return spent * 1e6 / (SECONDS * (MESSAGES_PER_S + 1)), slowest * 1e3


def risk_with_orders(count: int) -> float:
    """The median of a decision of risk while so many orders are open in other markets; microseconds."""
    desk = Desk(CHANGES | {"risk.positions_max_count": "10000"})
    for number in range(count):
        market = f"kalshi:KXOPEN-{number}"
        desk.send(
            OrderUpdate(
                order=f"bench-open-{number}",
                status=OrderStatus.ACCEPTED,
                instrument=f"{market}:yes",
                market=market,
                strategy="momentum",
                remaining=ONE // 100,
                reason=NO_APPROVAL,
            )
        )
    return percentile(risk_decision.decisions(desk, DECISIONS).both_us, 0.5) or 0.0


def paper_with_orders(count: int) -> float:
    """An order's way through the paper exchange (sent, arrived, ended) while so many rest; microseconds each."""
    exchange = PaperExchange(latency=MILLISECOND)
    now = START_NS
    exchange.market(_market(0), now)
    exchange.book(
        Book(
            instrument="kalshi:KXGROW-0:yes",
            at=now,
            counter=1,
            bids=_levels(480_000),
            asks=_levels(490_000),
            snapshot=True,
        ),
        now,
    )

    def send(name: str, time_in_force: TimeInForce) -> None:
        new = ExchangeOrder(
            order=name,
            market="kalshi:KXGROW-0",
            instrument="kalshi:KXGROW-0:yes",
            buy=True,
            price=10_000,
            quantity=ONE,
            time_in_force=time_in_force,
            expires_at=START_NS + 3_600 * SECOND,
            post_only=False,
        )
        exchange.submit(new, now)
        exchange.advance(now + 2 * MILLISECOND)

    for number in range(count):
        send(f"resting-{number}", TimeInForce.GTC)
        now += 10 * MILLISECOND
    if len(exchange.orders) != count:
        raise RuntimeError(f"expected {count} resting orders, was {len(exchange.orders)}")
    began = process_time()
    for number in range(PAPER_ORDERS):
        send(f"passing-{number}", TimeInForce.IOC)
        now += 10 * MILLISECOND
    return (process_time() - began) * 1e6 / PAPER_ORDERS


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """A message's cost, a decision's, an order's, each with little and with much beside it."""
    tell(f"{FEW} markets")
    few, _ = with_markets(FEW)
    tell(f"{MANY:,} markets")
    many, slowest_ms = with_markets(MANY)
    tell(f"{OPEN_ORDERS:,} open orders")
    alone_us, crowded_us = paper_with_orders(1), paper_with_orders(OPEN_ORDERS)
    return [
        Figure(f"a message through all machines, {MANY:,} markets to {FEW}", many / few, "times", TIMES_MAX),
        Figure(f"  {FEW} markets", few, "µs"),
        Figure(f"  {MANY:,} markets", many, "µs"),
        Figure(f"  {MANY:,} markets, the slowest message", slowest_ms, "ms"),
        Figure(
            f"risk decision p50, {OPEN_ORDERS:,} open orders",
            risk_with_orders(OPEN_ORDERS),
            "µs",
            DECISION_AIM_US,
        ),
        Figure("paper: an order sent, arrived and ended, one other open", alone_us, "µs"),
        Figure(f"  {OPEN_ORDERS:,} others open", crowded_us, "µs"),
    ]
