"""One venue's desk in this process, over real sockets to a sandbox; the test is risk, the clock and the tape.

No broker: facts go straight into the order machine, what it says straight to the desk. Everything between
the approval and the venue's books is the real thing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from libs.contract.codec import encode
from libs.exchange.matching_types import LimitOrder
from libs.machine.host_state import Fact
from libs.machine.machine import Stamp
from libs.portfolio.portfolio import Portfolio
from libs.tape.record import TapeRecord
from libs.venues.errors import VenueError
from libs.venues.gateway import VenueGateway
from libs.venues.kalshi.auth import KalshiCredentials
from libs.venues.kalshi.trading.gateway import KalshiGateway
from libs.venues.kalshi.trading.options import KalshiOptions
from libs.venues.polymarket.trading.auth import PolymarketCredentials
from libs.venues.polymarket.trading.gateway import PolymarketGateway
from libs.venues.transport.http import Timeouts
from proto.execution import Claim, OrderStatus, Unclaimed
from proto.feed import FeedClock, MarketStatus, Side
from proto.ids import MessageId, order_id
from proto.message import Message
from proto.operator import ClockOwner, Config, Mode, Session
from proto.risk import Approval, TimeInForce
from proto.units import ONE, SECOND
from sandbox.faults.rules import FaultRule
from sandbox.kalshi.server import OWNER, KalshiServer
from sandbox.polymarket.ledger import COLLATERAL
from sandbox.polymarket.server import PolymarketServer
from sandbox.server import Sandbox
from sandbox.world.markets import MarketKind, SandboxMarket
from services.execution.desk import reconcile, venue_books
from services.execution.desk.context import DeskContext
from services.execution.desk.live_desk import LiveDesk
from services.execution.desk.venue import VenueDesk
from services.execution.machine import ExecutionMachine
from services.execution.orders import TrackedOrder
from tests.support import sandbox_time

TAPE = "tape1"
PATIENCE_S = 150.0
POLL_S = 0.01
CLOCK_S = 0.1
CENT = ONE // 100
LOW, HIGH = 2 * CENT, 98 * CENT
"""A price at which a purchase rests, and one at which it trades."""
Through = Callable[[Sandbox], Awaitable[Mapping[str, str]]]
COUNTERPARTY = "the-other-side"
EXPIRES_S = 60
HELD_S = 1.0
"""An answer that never comes is given up after so long; the venues' own timeouts are ten times that."""


class VenueRig:
    """``facts`` is all that the tape was told; ``said`` all that the machine answered."""

    def __init__(
        self, sandbox: Sandbox, venue: str, folder: Path, urls: Mapping[str, str] | None = None
    ) -> None:
        self.sandbox = sandbox
        self.urls = dict(urls or {})
        self.venue = venue
        self.halted = False
        self.facts: list[Message] = []
        self.said: list[Message] = []
        self.approvals: list[Approval] = []
        self.gateway = gateway_of(sandbox, venue, **self.urls)
        self._machine = ExecutionMachine()
        self._claims: dict[str, Claim] = {}
        self._folder = folder
        self._seq = 0
        self._numbers = 0
        self._others = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.market = max(self.markets(), key=lambda market: market.close_ns)
        self.desk = self._new_desk()

    # ── running ──

    async def start(self) -> None:
        parameters = {"live_venues": [self.venue], "ack_timeout_s": 1, "query_interval_s": 1}
        self.put(
            Session(
                tape=TAPE,
                mode=Mode.PLAYBACK,
                clock_owner=ClockOwner.FEED,
                started_at=time.time_ns(),
                nonce="n",
                expires_at=0,
            )
        )
        self.put(Config(section="execution", document=parameters, nonce="n", expires_at=0))
        await self._run()
        await self.until(lambda: self.reason() == "" and self.of_venue.books.is_stream_up)

    async def _run(self) -> None:
        await self.desk.start(self._read_claim)
        self._tasks = [asyncio.create_task(self.desk.run()), asyncio.create_task(self._clock())]

    async def restart(self, *, start: bool = True) -> None:
        """The process dies with all it knows, and comes back to the tape and the ledger."""
        await self.close()
        self.gateway = gateway_of(self.sandbox, self.venue, **self.urls)
        self.desk = self._new_desk()
        if start:
            await self._run()
            await self.until(lambda: self.reason() == "" and self.of_venue.books.is_stream_up)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.desk.close()

    def _new_desk(self) -> LiveDesk:
        async def publish(fact: Fact) -> None:
            self.facts.append(fact.message)
            self.put(fact.message)

        return LiveDesk(
            [self.gateway],
            DeskContext(
                publish=publish,
                spool=self._folder / "facts.jsonl",
                state=lambda: self._machine.state,
                away_s=lambda: 0.0,
                halted=lambda: self.halted,
                refusal=lambda _: "halted" if self.halted else "",
            ),
        )

    async def _read_claim(self, order: str) -> Claim | None:
        return self._claims.get(order)

    async def _clock(self) -> None:
        while True:
            self.put(FeedClock(at=time.time_ns()))
            await asyncio.sleep(CLOCK_S)

    def put(self, event: Message, message_id: str = "") -> None:
        """A message is stored on the tape: the machine reads it, and the desk reads what it says."""
        self._seq += 1
        stamp = Stamp(seq=self._seq, now=time.time_ns(), message_id=message_id, verified=True)
        record = TapeRecord(self._seq, event.subject(), {}, b"", time.time_ns())
        outputs = list(self._machine.on(event, stamp))
        self.desk.observe(record, event, live=True)
        for output in outputs:
            self.said.append(output)
            self.desk.observe(record, output, live=True)

    async def until(self, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, (
                f"expected another state in time, was {self.of_venue.report()}"
            )
            await asyncio.sleep(POLL_S)

    # ── risk's part ──

    async def approve(
        self, *, price: int = LOW, contracts: int = 10, side: Side = Side.BUY, **changes: Any
    ) -> str:
        """Approve, claim and send one order; its id. Without a claim when the gate is closed."""
        self._numbers += 1
        market = changes.pop("market", self.market)
        outcome = changes.pop("outcome", 0)
        event = Approval(
            order=order_id(TAPE, self._numbers, 0),
            strategy="momentum",
            market=f"{self.venue}:{market.id}",
            instrument=instrument_of(market, outcome),
            side=side,
            price=price,
            quantity=contracts * ONE,
            time_in_force=changes.pop("tif", TimeInForce.GTC),
            expires_at=time.time_ns() + EXPIRES_S * SECOND,
            proposal="p",
            **changes,
        )
        self.approvals.append(event)
        message_id = str(MessageId(TAPE, "risk", self._numbers, 0))
        self.put(event, message_id)
        desk = self.of_venue
        reason = self.desk.reason(event.market)
        try:
            prepared = None if reason else await desk.order_builder.prepare_with_market(event, time.time_ns())
        except VenueError as e:
            prepared, reason = None, str(e)
        if prepared is None:
            self.put(Unclaimed(order=event.order, reason=reason[:300]))
            return event.order
        claim = Claim(
            order=event.order,
            approval_subject=event.subject(),
            message_id=message_id,
            payload=encode(event),
            signature="s",
            key_id="k",
            client_order_id=prepared.client_order_id,
            nonce="n",
            claimed_at=time.time_ns(),
        )
        self._claims[event.order] = claim
        self.put(claim)
        desk.begin(claim, event, prepared)
        return event.order

    # ── what is known here ──

    @property
    def of_venue(self) -> VenueDesk:
        return self.desk.venues[self.venue]

    @property
    def book(self) -> Portfolio:
        """The books of the tape: risk, exit and journal fold the same facts."""
        return self._machine.state.venues[self.venue].portfolio

    def reason(self, market: str = "") -> str:
        """Why no new order may leave; empty when one may."""
        return self.desk.reason(market or f"{self.venue}:")

    def tracked(self, order: str) -> TrackedOrder:
        state = self._machine.state
        return state.live.get(order) or state.ended[order]

    def status(self, order: str) -> OrderStatus:
        return self.tracked(order).status

    async def comes_to(self, order: str, *statuses: OrderStatus) -> None:
        await self.until(lambda: self.status(order) in statuses)

    def told(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def held(self) -> dict[str, int]:
        return {name: position.quantity for _, name, position in self.book.open_positions()}

    # ── what is true at the venue ──

    @property
    def server(self) -> Any:
        return self.sandbox.servers[self.venue]

    def markets(self) -> list[SandboxMarket]:
        """Windows that trade now."""
        return [
            market
            for market in self.sandbox.world.markets(self.venue)
            if market.kind is MarketKind.UPDOWN and market.status is MarketStatus.OPEN
        ]

    def requests(self, operation: str = "order") -> list[Any]:
        return self.sandbox.arrivals.of(self.venue, operation)

    def sent(self) -> list[str]:
        """Every order that reached the venue's books, by its client's id, as often as it came."""
        return [key for arrival in self.requests() for key in arrival.keys]

    def money(self) -> int:
        """What the account has, resting orders included."""
        if self.venue == "kalshi":
            return int(self.sandbox.accounts.get("kalshi", OWNER).cash)
        wallet = self.server.exchange.ledger.get(self.sandbox.credentials["polymarket"]["funder"])
        return int(wallet.on_chain(COLLATERAL))

    def ask(self) -> int:
        """The price at which a purchase trades at once, a little beyond the best."""
        best = self.market.book.best(0)[1]
        assert best is not None
        return min(HIGH, best // CENT * CENT + 3 * CENT)

    async def agreed(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the venue's positions, asked for anew, and its money are ours."""
        deadline = time.monotonic() + patience_s
        while True:
            held, book = self.held(), self.book.cash
            theirs, total = await self.gateway.positions(), self.money()
            if held == theirs and book == total:
                return
            assert time.monotonic() < deadline, (
                f"expected positions {theirs} and money {total}, was {held} and {book}"
            )
            await asyncio.sleep(POLL_S)

    async def jump(self, to_ns: int) -> None:
        await sandbox_time.jump(self.sandbox, to_ns)

    async def jump_until(self, condition: Callable[[], bool]) -> None:
        await sandbox_time.jump_until(self.sandbox, condition)

    def empty(self, market: SandboxMarket | None = None) -> None:
        """Take the maker's quotes out of a book for good: what trades then is ours."""
        self.sandbox.world.makers.stop(market or self.market)

    def other_side(self, price: int, quantity: int, outcome: int = 1) -> None:
        """Somebody else buys an outcome: met by our purchase of the other one at the rest of the price."""
        self._others += 1
        order = LimitOrder(
            order_id=f"other-{self._others}",
            owner=COUNTERPARTY,
            outcome=outcome,
            side=Side.BUY,
            price=price,
            quantity=quantity,
        )
        self.sandbox.world.place(self.market, order)

    def faults(self, *rules: FaultRule) -> None:
        self.sandbox.faults.set(*(msgspec.structs.replace(rule, venue=self.venue) for rule in rules))


def instrument_of(market: SandboxMarket, outcome: int = 0) -> str:
    return f"{market.venue}:{market.id}:{market.outcomes[outcome].lower()}"


def gateway_of(sandbox: Sandbox, venue: str, **urls: str) -> VenueGateway:
    """The gateway of the sandbox's account; ``urls`` replace addresses."""
    found, keys = sandbox.urls[venue] | urls, sandbox.credentials[venue]
    if venue == "kalshi":
        server, tier = sandbox.servers[venue], "premier"
        assert isinstance(server, KalshiServer)
        server.budgets.tier = tier
        return KalshiGateway(
            KalshiCredentials(keys["key_id"], keys["private_key_pem"].encode()),
            KalshiOptions(
                rest_url=found["rest"], websocket_url=found["websocket"], tier=tier, series=("KXBTC15M",)
            ),
        )
    return PolymarketGateway(
        PolymarketCredentials(
            private_key=bytes.fromhex(keys["private_key"][2:]),
            signature_type=keys["signature_type"],
            funder=keys["funder"],
        ),
        clob_url=found["clob"],
        gamma_url=found["gamma"],
        data_url=found["data"],
        user_websocket_url=found["user_websocket"],
        timeouts=Timeouts(total_s=5.0),
    )


@asynccontextmanager
async def venue_rig(folder: Path, venue: str, through: Through | None = None) -> AsyncIterator[VenueRig]:
    """A sandbox of one venue and a desk that trades there; its gate is open when the block begins.

    ``through`` gives the addresses under which the desk finds the venue.
    """
    quick = {
        (reconcile, "EVERY_S"): 1.0,
        (reconcile, "BLIND_S"): 0.5,
        (reconcile, "AGAIN_S"): 0.2,
        (reconcile, "SOON_S"): 0.02,
        (venue_books, "FETCH_WAIT_S"): 0.1,
    }
    usual = {(module, name): getattr(module, name) for module, name in quick}
    for (module, name), value in quick.items():
        setattr(module, name, value)
    try:
        async with Sandbox(seed=7, venues=[venue], updates_per_s=2.0, windows_from_start=True) as sandbox:
            server = sandbox.servers[venue]
            assert isinstance(server, KalshiServer | PolymarketServer)
            if isinstance(server, PolymarketServer):
                server.options.mined_after_s = server.options.confirmed_after_s = 0.1
            rig = VenueRig(sandbox, venue, folder, await through(sandbox) if through else None)
            try:
                await rig.start()
                yield rig
            finally:
                await rig.close()
    finally:
        for (module, name), value in usual.items():
            setattr(module, name, value)
