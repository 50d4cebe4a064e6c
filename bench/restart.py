"""Restart after kill -9 while the tape holds a long window and the market goes on.

The window is filled with quotes; the machines' snapshots stand at its end, as they do in operation. Then
the services run on a market of 1,000 updates a second until their snapshots are far behind, as far as
operation lets them get (20,000 messages), and are killed one by one. The clock runs from the signal until
the broker has stored that the machine is live again, so it includes the supervisor's notice, the start of
Python, the fold from the snapshot, and the comparison with the tape.
"""

import asyncio
import os
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import venue
from bench.feed_to_tape import quote
from bench.latency import CHANGES, RATE, STRATEGY, configuration
from bench.result import Figure, Tell
from libs.contract.codec import Unreadable, decode, encode
from libs.machine.input_gate import InputGateState
from libs.machine.snapshots import Snapshot, SnapshotStore
from libs.operator.desk import OperatorDesk, opening
from libs.operator.watch import Reports
from libs.runtime.layout import RunFile
from libs.tape.broker import TAPE_MESSAGES_MAX, stream_state
from libs.tape.connection import Link
from libs.tape.credentials import ADMIN, OPERATOR
from libs.tape.publisher import Publisher, Stored
from libs.tape.reader import TapeReader
from libs.tape.record import TapeRecord
from proto.execution import Claim
from proto.feed import Quote
from proto.message import Message
from proto.operator import ClockOwner, Mode
from proto.service import Started
from tools.system.composition import factories, sections
from tools.system.installation import Installation
from tools.system.supervisor import Supervisor

SERVICES = ("feed", "signal", "risk", "execution", "exit", "monitor")
"""Without the journal: it would first read the window it has not seen, and is no service that decides."""
KILLED = ("signal", "risk", "execution", "exit", "monitor")
WINDOW_MESSAGES = 500_000
BEHIND_SEQ = 12_000
"""So far behind the tape's end the snapshots are when the first service is killed."""
ACKNOWLEDGE_EVERY = 1_000
ACKNOWLEDGEMENTS_OPEN = 4
PATIENCE_S = 90.0
LIVE_AIM_S = 1


@dataclass
class Window:
    """How long the tape is when the services start: a part of the window, or all of it."""

    full: bool = False

    @property
    def messages(self) -> int:
        """Messages put on the tape beforehand; room for what follows is left."""
        return TAPE_MESSAGES_MAX - 100_000 if self.full else WINDOW_MESSAGES


WINDOW = Window()


async def fill(link: Link, count: int) -> None:
    """Put ``count`` quotes on the tape, fast: one in a thousand is acknowledged."""
    publisher = Publisher(link)
    await publisher.start()
    waiting: list[asyncio.Future[Stored]] = []
    for number in range(1, count + 1):
        message = quote(number)
        subject, payload = message.subject(), encode(message)
        if number % ACKNOWLEDGE_EVERY and number != count:
            await publisher.publish_unacknowledged(subject, payload, {})
            continue
        waiting.append(await publisher.begin(subject, payload, {}))
        if len(waiting) > ACKNOWLEDGEMENTS_OPEN:
            await waiting.pop(0)
    await asyncio.gather(*waiting)
    stored = int((await stream_state(link.client))["last_seq"])
    if stored != count:
        raise RuntimeError(f"expected {count} messages on the tape, was {stored}")


async def snapshot_end(link: Link, installation: Installation, tape: str, seq: int) -> None:
    """Leave a snapshot of each machine at the end of the window: nothing there was for it."""
    reader = TapeReader(link, seq - 1)
    last = (await reader.next_batch(PATIENCE_S))[0]
    await reader.close()
    for name, make in factories([STRATEGY]).items():
        machine = make()
        SnapshotStore(installation.layout.root / "snapshots", name).write(
            Snapshot(
                machine=name,
                version=machine.version,
                tape=tape,
                seq=seq,
                digest=last.digest(),
                state=machine.snapshot(),
                input_gate=InputGateState(),
            )
        )


class Follower:
    """Reads the tape from its present end and finds what is waited for."""

    def __init__(self, link: Link, position: int) -> None:
        self._reader = TapeReader(link, position)
        self._batch: deque[TapeRecord] = deque()

    async def find(self, wanted: Callable[[TapeRecord, Message], bool]) -> TapeRecord:
        """The next record that is wanted; everything before it is passed over."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._batch:
                    record = self._batch.popleft()
                    try:
                        message = decode(record.subject, record.payload)
                    except Unreadable:
                        continue
                    if wanted(record, message):
                        return record
                self._batch.extend(await self._reader.next_batch(0.1))


class Running:
    """The services under a supervisor, on a long tape and a fast market."""

    def __init__(self, installation: Installation, tape: str, market: str) -> None:
        self.installation = installation
        self.supervisor = Supervisor(installation.layout, SERVICES)
        self.reports = Reports()
        self.folded: list[int] = []
        self._tape = tape
        self._market = market
        self._watching: asyncio.Task[None] | None = None

    async def start(self, operator: Link) -> None:
        """Open a session and start the services; returns when all are live."""
        layout = self.installation.layout
        desk = OperatorDesk(operator, self.installation.operator_signer(), self._tape)
        await desk.start()
        known = sections(strategies=[STRATEGY], directory=configuration(layout.root), overrides=CHANGES)
        for message in opening(
            self._tape,
            mode=Mode.REALTIME,
            clock_owner=ClockOwner.MONITOR,
            started_at_ns=time.time_ns(),
            sections=known,
        ):
            await desk.send(message)
        layout.write_run(
            RunFile(
                broker_url=self.installation.broker_url,
                tape=self._tape,
                socket_urls=[self._market],
                metrics_ports=self.supervisor.listen(),
                strategies=[STRATEGY],
                supervisor_pid=os.getpid(),
            )
        )
        await self.reports.listen(operator)
        self.supervisor.start()
        self._watching = asyncio.create_task(self.supervisor.watch())
        live = await self.reports.wait_for(
            lambda latest: all(latest.get(s, {}).get("state") == "live" for s in SERVICES), PATIENCE_S
        )
        if not live:
            raise RuntimeError(f"expected all services live, was {self.reports.latest}")

    async def stop(self) -> None:
        """Stop the services."""
        await self.supervisor.stop()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def behind(self, machine: str, seq: int) -> int:
        """How far the newest snapshot of a machine is behind ``seq``."""
        store = SnapshotStore(self.installation.layout.root / "snapshots", machine)
        return seq - max((snapshot.seq for snapshot in store.newest_first()), default=0)

    async def run_on(self, follower: Follower) -> None:
        """Wait until the snapshots are well behind the tape's end."""
        await follower.find(
            lambda record, _: record.seq % 1_000 == 0 and self.behind("risk", record.seq) >= BEHIND_SEQ
        )

    async def kill(self, service: str, link: Link, follower: Follower) -> float:
        """Kill a service; seconds until the tape says that it is live again."""
        last_seq = int((await stream_state(link.client))["last_seq"])
        self.folded.append(self.behind(service, last_seq))
        killed_at_ns = time.time_ns()
        os.kill(self.supervisor.children[service].pid, signal.SIGKILL)
        record = await follower.find(
            lambda record, message: (
                isinstance(message, Started) and message.service == service and record.seq > last_seq
            )
        )
        return (record.stored_at_ns - killed_at_ns) / 1e9

    async def kill_broker(self, follower: Follower) -> tuple[float, float, float]:
        """Kill the broker, start it at once: seconds until ready, until the next quote, the next claim."""
        broker = self.installation.broker
        killed_at_ns = time.time_ns()
        await asyncio.to_thread(broker.kill)
        broker.start()
        await broker.ready()
        ready_s = (time.time_ns() - killed_at_ns) / 1e9
        after: list[float] = []
        for kind in (Quote, Claim):
            record = await follower.find(
                lambda record, message, kind=kind: (  # type: ignore[misc]
                    type(message) is kind and record.stored_at_ns > killed_at_ns
                )
            )
            after.append((record.stored_at_ns - killed_at_ns) / 1e9)
        return ready_s, after[0], after[1]


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Kill each deciding service, then the broker."""
    with tempfile.TemporaryDirectory() as directory:
        installation = Installation(Path(directory) / "state")
        market, task = await venue.start(RATE)
        await installation.start_broker()
        try:
            return await _killed(tell, installation, market)
        finally:
            task.cancel()
            await installation.stop()


async def _killed(tell: Tell, installation: Installation, market: str) -> list[Figure]:
    count = WINDOW.messages
    tell(f"filling the tape with {count:,} messages")
    admin = await installation.connect(ADMIN)
    operator = await installation.connect(OPERATOR)
    console = await installation.connect()
    running: Running | None = None
    try:
        tape, _ = await installation.open_tape(operator)
        await fill(admin, count)
        await snapshot_end(console, installation, tape, count)
        running = Running(installation, tape, market)
        follower = Follower(console, count)
        tell("starting the services")
        await running.start(operator)
        tell("running on until the snapshots are far behind")
        await running.run_on(follower)
        took_s = {service: await running.kill(service, console, follower) for service in KILLED}
        tell(f"folded {min(running.folded):,} to {max(running.folded):,} messages; now the broker")
        ready_s, quote_s, claim_s = await running.kill_broker(follower)
    finally:
        if running is not None:
            await running.stop()
        for link in (admin, operator, console):
            await link.close()
    window = f"tape of {count:,}"
    slowest = max(took_s, key=lambda service: took_s[service])
    return [
        Figure(
            f"restart: slowest service ({slowest}) live after kill -9, {window}",
            took_s[slowest],
            "s",
            LIVE_AIM_S,
        ),
        *(Figure(f"  {service}", seconds, "s") for service, seconds in took_s.items()),
        Figure(f"restart: broker ready after kill -9, {window}", ready_s, "s"),
        Figure("  next quote stored", quote_s, "s"),
        Figure("  next claim won", claim_s, "s"),
    ]
