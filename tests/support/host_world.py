"""One host with a tiny machine on a real broker: what restarts, upgrades and failures do to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

import msgspec

from libs.contract.codec import encode
from libs.keys.signing import Verifier
from libs.machine.errors import MachineStopped
from libs.machine.host import Host, HostSettings
from libs.machine.machine import Stamp, StateMachine
from libs.operator.desk import OperatorDesk, expiry_ns, fresh_nonce
from libs.runtime.layout import BUILD, RunFile
from libs.tape.broker import StreamLimits, stream_state
from libs.tape.connection import Link, open_link
from libs.tape.credentials import ADMIN, OPERATOR
from libs.tape.publisher import Publisher
from libs.tape.reader import read_subject
from libs.tape.record import ID_HEADER, TapeRecord
from proto.feed import Side, Trade
from proto.ids import MessageId
from proto.message import Message
from proto.operator import ClockOwner, Mode, Session, Verb
from proto.signal import Proposal
from tests.support.harness import readable
from tools.system.installation import Installation

PATIENCE_S = 120.0
POLL_S = 0.005
POISON = 666
START_NS = 1_700_000_000_000_000_000


class CounterState(msgspec.Struct):
    """How many trades were seen."""

    trades: int = 0


class Counter(StateMachine[CounterState]):
    """Proposes at the price of how many trades it has seen; a trade at ``POISON`` makes it raise."""

    name: ClassVar[str] = "signal"
    version: ClassVar[int] = 1
    factor: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__(CounterState())
        self.handlers = {Trade: self._on_trade}

    def _on_trade(self, trade: Trade, _: Stamp) -> list[Message]:
        self.state.trades += 1
        if trade.price == POISON:
            raise ValueError("expected anything but poison")
        return [proposal(self.factor * self.state.trades)]


class NewCounter(Counter):
    """The next version: it decides differently."""

    version: ClassVar[int] = 2
    factor: ClassVar[int] = 100


class OtherState(msgspec.Struct, forbid_unknown_fields=True):
    """A state that an older version's does not fit."""

    count: int = 0


class OtherCounter(StateMachine[OtherState]):
    """A version that cannot read the state of the first."""

    name: ClassVar[str] = "signal"
    version: ClassVar[int] = 3

    def __init__(self) -> None:
        super().__init__(OtherState())
        self.handlers = {Trade: self._on_trade}

    def _on_trade(self, _trade: Trade, _: Stamp) -> list[Message]:
        self.state.count += 1
        return [proposal(1_000 * self.state.count)]


def proposal(price: int) -> Proposal:
    return Proposal(
        strategy="s", market="m", instrument="i", side=Side.BUY, price=price, fair_value=1, edge=1, strength=1,
        expires_at=1,
    )  # fmt: skip


async def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Wait for a condition; whether it came true in time."""
    deadline = monotonic() + patience_s
    while not condition():
        if monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True


class World:
    """A broker with an open session; the test is the feed and the operator."""

    def __init__(self, installation: Installation, tape: str, admin: Link, operator: Link) -> None:
        self.installation = installation
        self.tape = tape
        self.link = admin
        self.desk = OperatorDesk(operator, installation.operator_signer(), tape)
        self.publisher = Publisher(admin)
        self._trades = 0

    @property
    def state(self) -> Path:
        return self.installation.layout.root

    async def trade(self, price: int = 1) -> int:
        """A trade on the tape; its sequence."""
        self._trades += 1
        message = Trade(
            instrument="i", at=START_NS + self._trades, price=price, quantity=1, trade_id=str(self._trades)
        )
        message_id = MessageId(self.tape, "feed-shell", self._trades, 0)
        stored = await self.publisher.publish(
            message.subject(), encode(message), {ID_HEADER: str(message_id)}
        )
        return stored.seq

    async def skip(self, seq: int) -> int:
        return await self.desk.command(Verb.SKIP, machine="signal", seq=seq)

    async def last_seq(self) -> int:
        return int((await stream_state(self.link.client, timeout_s=60))["last_seq"])

    async def prices(self) -> list[int]:
        """What the machine has said so far, as prices; a repeated id counts once, like a reader does it."""
        seen: dict[str, int] = {}
        for record, message in readable(await self.records("signal.proposal.>")):
            assert isinstance(message, Proposal)
            assert seen.setdefault(record.message_id, message.price) == message.price
        return list(seen.values())

    async def records(self, subject: str) -> list[TapeRecord]:
        return await read_subject(self.link, subject)

    async def says(self, prices: list[int]) -> None:
        """Wait until the machine has said exactly this."""
        deadline = monotonic() + PATIENCE_S
        while (found := await self.prices()) != prices:
            late = monotonic() > deadline or len(found) > len(prices)
            assert not late, f"expected {prices}, was {found}"
            await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def host(
        self, machine: type[StateMachine[Any]], *, adopt_to: int | None = None, crash: bool = False
    ) -> AsyncIterator[Host]:
        """A host running: stopped by plan at the end, or broken off without a word."""
        layout = self.installation.layout
        link = await open_link(self.installation.broker_url, "signal", layout.password("signal"))
        settings = HostSettings(
            service="signal",
            tape=self.tape,
            state=layout.root,
            build=BUILD,
            archive=layout.archive,
            adopt=() if adopt_to is None else ("signal",),
            adopt_to=adopt_to or 0,
        )
        host = Host(settings, [machine], link, Verifier.load(layout.public_keys))
        running = asyncio.create_task(host.run())
        try:
            assert await until(lambda: host.status.live or bool(host.status.refused) or running.done())
            if running.done():
                running.result()
            yield host
        finally:
            if crash:
                running.cancel()
            host.stop()
            with contextlib.suppress(MachineStopped, asyncio.CancelledError):
                await running
            await link.close()


@asynccontextmanager
async def world(root: Path, limits: StreamLimits | None = None) -> AsyncIterator[World]:
    """A world on a broker of its own, gone at the end; ``limits`` make its tape a small window."""
    installation = Installation(root)
    installation.broker.limits = limits or installation.broker.limits
    await installation.start_broker()
    layout = installation.layout
    links = [
        await open_link(installation.broker_url, user, layout.password(user)) for user in (ADMIN, OPERATOR)
    ]
    try:
        tape, _ = await installation.open_tape(links[0])
        found = World(installation, tape, links[0], links[1])
        await found.desk.start()
        await found.publisher.start()
        layout.write_run(RunFile(broker_url=installation.broker_url, tape=tape))
        await found.desk.send(
            Session(
                tape=tape,
                mode=Mode.PLAYBACK,
                clock_owner=ClockOwner.FEED,
                started_at=START_NS,
                nonce=fresh_nonce(),
                expires_at=expiry_ns(),
            )
        )
        yield found
    finally:
        for link in links:
            await link.close()
        await installation.stop()
