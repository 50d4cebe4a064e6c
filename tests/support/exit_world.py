"""A small world around the exit machine: risk, execution and venue, answering in any order.

It keeps its own account of the position and of every exit that may still take something from it, and
compares after each step. Each input also goes to a twin that was restored from the machine's snapshot.
"""

from dataclasses import dataclass, field
from typing import Any

from libs.machine.machine import Stamp
from proto.execution import OrderStatus, OrderUpdate
from proto.exit import ExitCancel, ExitProposal, PositionUpdate
from proto.feed import Book, FeedClock, Level, Market, MarketStatus, Outcome, PriceStep, Quote, Side
from proto.message import Message
from proto.operator import ClockOwner, Command, Config, Mode, Session, Verb
from proto.risk import Approval, Rejection, TimeInForce
from proto.units import ONE, SECOND
from proto.venue import Fill, Settlement
from services.exit.machine import ExitMachine

START = 1_000_000 * SECOND
CENT = 10_000
HUNDRED = 100 * ONE
YES = "kalshi:M:yes"
MARKET = Market(
    market="kalshi:M",
    venue="kalshi",
    at=START,
    status=MarketStatus.OPEN,
    outcomes=(Outcome("yes", YES), Outcome("no", "kalshi:M:no")),
    close_at=START + 3_600 * SECOND,
    price_steps=(PriceStep(0, CENT),),
    quantity_step=CENT,
)


def approval(order: str, message_id: str, proposal: ExitProposal) -> Approval:
    return Approval(
        order=order,
        strategy=proposal.strategy,
        market=proposal.market,
        instrument=proposal.instrument,
        side=proposal.side,
        price=proposal.price,
        quantity=proposal.quantity,
        time_in_force=proposal.time_in_force,
        expires_at=proposal.expires_at,
        proposal=message_id,
        reduce_only=True,
    )


@dataclass
class Live:
    """An order that risk approved."""

    order: str
    proposal: ExitProposal
    filled: int = 0
    cancel_asked: bool = False

    @property
    def remaining(self) -> int:
        return self.proposal.quantity - self.filled


@dataclass
class World:
    """Feed it events; ``position`` and ``exposed`` are its own books."""

    market: Market = MARKET
    params: dict[str, Any] = field(default_factory=dict)
    twin: bool = True

    def __post_init__(self) -> None:
        self.machine = ExitMachine()
        self.seq = 0
        self.now = START
        self.counter = 0
        self.position = 0
        self.asked: dict[str, ExitProposal] = {}
        self.live: dict[str, Live] = {}
        self.stages: list[PositionUpdate] = []
        self.proposals: list[tuple[int, ExitProposal]] = []
        self.cancels: list[str] = []
        self.fill_count = 0
        self.open_session()
        self.put(Config(section="exit", document=self.params, nonce="n", expires_at=START))
        self.put(self.market)
        self.put(Book(instrument=YES, at=START, counter=0, bids=(Level(50 * CENT, ONE),), snapshot=True))

    @property
    def exposed(self) -> int:
        """What exits proposed, working or unknown may still take. Risk approves nothing that has expired."""
        asked = sum(p.quantity for p in self.asked.values() if p.expires_at > self.now)
        return asked + sum(o.remaining for o in self.live.values())

    def open_session(self) -> None:
        self.put(
            Session(
                tape="t",
                mode=Mode.PLAYBACK,
                clock_owner=ClockOwner.FEED,
                started_at=self.now,
                nonce="n",
                expires_at=START,
            )
        )

    def put(self, event: Message, *, verified: bool = True) -> list[Message]:
        """One input; checks what comes out of it."""
        self.seq += 1
        stamp = Stamp(self.seq, self.now, f"t:x:{self.seq}:0", verified)
        twin = ExitMachine()
        if self.twin:
            twin.restore(self.machine.snapshot())
        outputs = list(self.machine.on(event, stamp))
        if self.twin:
            assert list(twin.on(event, stamp)) == outputs
            assert twin.snapshot() == self.machine.snapshot()
        for index, output in enumerate(outputs):
            self._take(output, f"t:exit:{self.seq}:{index}")
        return outputs

    def _take(self, output: Message, message_id: str) -> None:
        if isinstance(output, ExitProposal):
            assert output.side is Side.SELL
            assert 0 < output.price < ONE
            assert output.price % CENT == 0 == output.quantity % CENT
            assert output.expires_at > self.now
            if output.time_in_force is TimeInForce.IOC:
                assert self.exposed == 0, "a marketable exit before everything else was proved dead"
            self.asked[message_id] = output
            self.proposals.append((self.now, output))
            assert self.exposed <= self.position, "exits could take more than the position"
        elif isinstance(output, ExitCancel):
            assert output.order
            self.cancels.append(output.order)
            if output.order in self.live:
                self.live[output.order].cancel_asked = True
        elif isinstance(output, PositionUpdate):
            self.stages.append(output)

    # ── the outside ──

    def quote(self, bid: int | None) -> None:
        self.counter += 1
        self.put(Quote(instrument=YES, at=self.now, counter=self.counter, bid=bid, bid_size=ONE))

    def advance(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.put(FeedClock(at=self.now))

    def flatten(self, instrument: str = "") -> None:
        """The operator says that a position has to leave, or all."""
        self.put(Command(verb=Verb.FLATTEN, nonce="n", expires_at=START, instrument=instrument))

    def enter(self, quantity: int, price: int, strategy: str = "s") -> None:
        self.position += quantity
        self._fill("entry", Side.BUY, quantity, price, strategy)

    def entry_done(self) -> None:
        self._update("entry", OrderStatus.FILLED, 0, 0, reduce_only=False)

    def answer(self, approve: bool) -> None:
        """Risk answers the oldest proposal; an expired one is always refused."""
        message_id, proposal = next(iter(self.asked.items()))
        del self.asked[message_id]
        if not approve or proposal.expires_at <= self.now:
            self.put(
                Rejection(
                    strategy=proposal.strategy,
                    market=proposal.market,
                    instrument=proposal.instrument,
                    side=proposal.side,
                    price=proposal.price,
                    quantity=proposal.quantity,
                    proposal=message_id,
                    reduce_only=True,
                )
            )
            return
        order = f"t-{self.seq}-0"
        self.live[order] = Live(order, proposal)
        self.put(approval(order, message_id, proposal))
        self.status(order, OrderStatus.SUBMITTED)

    def status(self, order: str, status: OrderStatus) -> None:
        live = self.live[order]
        self._update(order, status, live.filled, live.remaining)

    def fill(self, order: str, quantity: int) -> None:
        """The venue fills a live order, at most what it still has."""
        live = self.live[order]
        quantity = min(quantity, live.remaining)
        live.filled += quantity
        self.position -= quantity
        if not live.remaining:
            del self.live[order]
        self._fill(order, Side.SELL, quantity, live.proposal.price)
        status = OrderStatus.PARTIALLY_FILLED if live.remaining else OrderStatus.FILLED
        self._update(order, status, live.filled, live.remaining)

    def end(self, order: str, status: OrderStatus) -> None:
        """The venue proves a live order dead."""
        live = self.live.pop(order)
        self._update(order, status, live.filled, 0)

    def settle(self, price: int) -> None:
        self.position = 0
        self.asked.clear()
        self.live.clear()
        self.put(
            Settlement(settlement_id="settled", market="kalshi:M", instrument=YES, price=price, at=self.now)
        )

    def _fill(self, order: str, side: Side, quantity: int, price: int, strategy: str = "s") -> None:
        self.fill_count += 1
        self.put(
            Fill(
                fill_id=f"fill:{self.fill_count}",
                order=order,
                market="kalshi:M",
                instrument=YES,
                strategy=strategy,
                side=side,
                price=price,
                quantity=quantity,
                fee=0,
                at=self.now,
            )
        )

    def _update(
        self, order: str, status: OrderStatus, filled: int, remaining: int, *, reduce_only: bool = True
    ) -> None:
        self.put(
            OrderUpdate(
                order=order,
                status=status,
                instrument=YES,
                market="kalshi:M",
                strategy="s",
                filled=filled,
                remaining=remaining,
                reduce_only=reduce_only,
            )
        )

    def work(self) -> None:
        """One second in which everybody answers: risk approves, cancels end, immediate orders fill."""
        while self.asked:
            self.answer(approve=True)
        for order, live in list(self.live.items()):
            if live.proposal.time_in_force is TimeInForce.IOC:
                self.fill(order, live.remaining)
            elif live.cancel_asked:
                self.end(order, OrderStatus.CANCELED)
        self.advance(1)

    @property
    def stage(self) -> str:
        return self.stages[-1].stage.value


def opened(price: int = 50, market: Market = MARKET, **params: Any) -> World:
    """A world with 100 contracts bought at ``price`` cents, and both targets resting."""
    world = World(market=market, params=params)
    world.quote((price - 1) * CENT)
    world.enter(HUNDRED, price * CENT)
    world.entry_done()
    while world.asked:
        world.answer(approve=True)
    for order in world.live:
        world.status(order, OrderStatus.ACCEPTED)
    return world
