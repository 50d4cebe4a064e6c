"""``presage up``: the whole system under one supervisor, live or playing recordings."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from libs.runtime.layout import RunFile
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.credentials import OPERATOR
from libs.tape.record import TapeRecord
from proto.execution import Claim
from proto.message import Message
from proto.monitor import Alert
from proto.operator import ClockOwner, Mode, Session, Verb
from proto.subjects import SERVICES
from services.feed.recording import open_recording, recording_start
from tools.composition import DEFAULT_STRATEGIES
from tools.installation import Installation
from tools.operator import OperatorDesk, opening
from tools.servers import ServerWatch
from tools.summary import Summary
from tools.supervisor import Supervisor
from tools.watch import Reports, TapeWatch

START_PATIENCE_S = 60.0
POSITION_NOTE_EVERY_S = 1.0
STORED_AT_KEPT = 200_000
"""Arrival times of tape messages kept for the latency of orders: minutes of a busy feed."""


class UsageError(ValueError):
    """The command was asked for something that cannot be; the text says what."""


@dataclass
class Options:
    """What ``presage up`` was asked for. ``speed`` ``None`` is maximum: lockstep."""

    state: Path
    recordings: list[Path] = field(default_factory=list)
    speed: float | None = 1.0
    seed: int = 7
    sockets: list[str] = field(default_factory=list)
    for_s: float | None = None
    adopt: list[str] = field(default_factory=list)
    strategies: Sequence[str] = DEFAULT_STRATEGIES


class System:
    """A running system: servers, services, the operator's desk, and a watch on the tape."""

    def __init__(self, options: Options, sections: Mapping[str, Mapping[str, Any]]) -> None:
        self.options = options
        self.summary = Summary()
        self.reports = Reports()
        self.installation = Installation(options.state)
        self.supervisor = Supervisor(self.installation.layout)
        self.observers: list[Any] = []
        self.servers: ServerWatch | None = None
        self.tape = ""
        self.new_epoch = False
        self.watch: TapeWatch | None = None
        self._sections = sections
        self._desk: OperatorDesk | None = None
        self._database: asyncio.Task[str] | None = None
        self._links: list[Link] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stored_at: dict[int, int] = {}
        self._nonces: list[str] = []

    # --- start and stop -------------------------------------------------------------------------

    async def start(self) -> None:
        """Start servers, open the session, start the services.

        Raises:
            UsageError: this state directory is being run by somebody else.
        """
        layout = self.installation.layout
        other = self.installation.take_over()
        if other:
            raise UsageError(f"expected nobody to run {layout.root}, was process {other}")
        database = self._database = asyncio.create_task(self.installation.start_database())
        await self.installation.start_broker()
        operator = await self._connect(OPERATOR)
        self.tape, self.new_epoch = await self.installation.settle_tape(operator)
        self._desk = OperatorDesk(operator, self.installation.operator_signer(), self.tape)
        await self._desk.start()
        await self._check_time(operator)
        adopt_to = int((await stream_state(operator.client))["last_seq"])
        layout.write_run(self._run_file(await database, adopt_to))
        await self.reports.listen(operator)
        self.watch = TapeWatch(await self._connect(), self._observe)
        if self.options.adopt:
            layout.halt_file.write_text("adopted")
        if self.options.recordings:
            await self._open_recording(self.options.recordings[0])
        else:
            await self._open(Mode.REALTIME, ClockOwner.MONITOR, time.time_ns(), "")
        if self.options.adopt:
            await self._desk.command(Verb.HALT, reason="adopted")
        servers = self.servers = ServerWatch(
            self.installation, operator, self.reports, realtime=not self.options.recordings
        )
        self.supervisor.start()
        self._tasks = [
            asyncio.create_task(self.supervisor.watch()),
            asyncio.create_task(self.watch.follow()),
            asyncio.create_task(self._note_position()),
            asyncio.create_task(servers.watch()),
        ]

    async def _connect(self, user: str = "console") -> Link:
        link = await self.installation.connect(user)
        self._links.append(link)
        return link

    def _run_file(self, database_url: str, adopt_to: int) -> RunFile:
        options = self.options
        return RunFile(
            broker_url=self.installation.broker_url,
            tape=self.tape,
            database_url=database_url,
            lockstep=bool(options.recordings) and options.speed is None,
            speed=options.speed,
            recordings=[str(path.resolve()) for path in options.recordings],
            synthetic_seed=None if options.recordings or options.sockets else options.seed,
            socket_urls=options.sockets,
            adopt=options.adopt,
            adopt_to=adopt_to if options.adopt else 0,
            metrics_ports=self.supervisor.listen(),
            strategies=list(options.strategies),
            supervisor_pid=os.getpid(),
        )

    async def _check_time(self, link: Link) -> None:
        """A recording must not be played onto a tape that is already later: time does not go back."""
        if not self.options.recordings:
            return
        found = Latest()
        watch = TapeWatch(link, found.take)
        await watch.read_to(int((await stream_state(link.client))["last_seq"]))
        await watch.close()
        start = recording_start(self.options.recordings[0])
        if found.at > start:
            raise UsageError(
                f"expected a tape not later than the recording {self.options.recordings[0]}, was one that has"
                f" reached {_utc(found.at)}: give a fresh --state"
            )
        starts = [recording_start(path) for path in self.options.recordings]
        if starts != sorted(starts):
            raise UsageError("expected the recordings in order of time, was another order")

    async def _open(self, mode: Mode, owner: ClockOwner, started_at_ns: int, recording: str) -> None:
        assert self._desk is not None
        if self.new_epoch:
            self.installation.layout.halt_file.write_text("new epoch: the tape lost its tail")
        for message in opening(
            self.tape,
            mode=mode,
            clock_owner=owner,
            started_at_ns=started_at_ns,
            sections=self._sections,
            recording=recording,
            halted=self.new_epoch,
        ):
            if isinstance(message, Session):
                self._nonces.append(message.nonce)
            await self._desk.send(message)

    async def _open_recording(self, path: Path) -> None:
        name = open_recording(path).name
        await self._open(Mode.PLAYBACK, ClockOwner.FEED, recording_start(path), name)

    async def stop(self) -> None:
        """Stop everything; nothing stays behind, however far the start had come."""
        if not self.installation.owned:
            return
        await self.supervisor.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.watch is not None:
            self.installation.note_position(self.watch.position)
        for link in self._links:
            await link.close()
        if self._database is not None:
            # A start that goes on in its thread would put up a server after everything was stopped.
            await asyncio.gather(self._database, return_exceptions=True)
        await self.installation.stop()
        self.installation.let_go()

    async def _note_position(self) -> None:
        assert self.watch is not None
        while True:
            await asyncio.sleep(POSITION_NOTE_EVERY_S)
            self.installation.note_position(self.watch.position)

    # --- watching -------------------------------------------------------------------------------

    def _observe(self, record: TapeRecord, message: Message) -> None:
        self.summary.add(record.seq, message)
        self.summary.outputs.add_record(record.message_id, record.subject, record.payload)
        self._stored_at[record.seq] = record.stored_at_ns
        if len(self._stored_at) > STORED_AT_KEPT:
            del self._stored_at[next(iter(self._stored_at))]
        if isinstance(message, Claim):
            self._note_latency(record)
        elif isinstance(message, Alert) and message.rule == "divergence" and message.active:
            self.summary.divergences += 1
        for observer in self.observers:
            observer(record, message)

    def _note_latency(self, record: TapeRecord) -> None:
        """From the arrival of the first cause on the tape to the claim's."""
        began = self._stored_at.get(record.root)
        if began is not None:
            self.summary.latencies_ms.append((record.stored_at_ns - began) / 1e6)

    async def all_live(self) -> bool:
        """Wait until every service reports that it is live; whether they did in time."""
        return await self.reports.wait_for(
            lambda latest: all(latest.get(s, {}).get("state") == "live" for s in SERVICES), START_PATIENCE_S
        )

    def not_live(self) -> str:
        """The services that are not live, each with its state and last words; for who waited in vain."""
        found = []
        for service in SERVICES:
            report = self.reports.latest.get(service, {"state": "silent"})
            if report["state"] != "live":
                said = ": ".join(filter(None, (report["state"], report.get("detail", ""))))
                found.append(f"{service} was {said} ({self.supervisor.last_words(service)})")
        return "; ".join(found)

    # --- playing --------------------------------------------------------------------------------

    async def play(self, progress: "PlayProgress") -> None:
        """Play all recordings, one session each, until the last has been played and followed up."""
        for number, path in enumerate(self.options.recordings):
            if number:
                await self._open_recording(path)
            name = open_recording(path).name
            while not self._played(name):
                progress.show(number, self.reports.latest.get("feed", {}), self.watch)
                await asyncio.sleep(0.2)
        await self._settle()

    def _played(self, name: str) -> bool:
        """Whether the player says that the newest session is played to its end."""
        path = self.installation.layout.root / "feed.json"
        done = path.exists() and f"{self._nonces[-1]}.done" in json.loads(path.read_text())
        return done and self.reports.latest.get("feed", {}).get("detail") == f"played {name}"

    async def _settle(self) -> None:
        """Read what the end of the recordings still caused, until the tape is quiet."""
        assert self.watch is not None
        quiet_since = monotonic()
        last = -1
        while monotonic() - quiet_since < QUIET_S:
            seq = int((await stream_state(self._links[0].client))["last_seq"])
            if self.watch.position < seq or seq != last:
                last = seq
                quiet_since = monotonic()
            await asyncio.sleep(0.1)


QUIET_S = 1.0
STOPPED_CHECK_S = 0.5


class Latest:
    """The latest session time on a tape."""

    def __init__(self) -> None:
        self.at = 0

    def take(self, _: TapeRecord, message: Message) -> None:
        """Take one message into account."""
        if message.kind.startswith("feed.") or message.kind == "monitor.clock":
            self.at = max(self.at, getattr(message, "at", 0))


class PlayProgress:
    """A progress bar on a terminal; silent elsewhere."""

    def __init__(self, recordings: Sequence[Path], *, visible: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not visible,
        )
        self._task = self._bar.add_task("playing", total=len(recordings), detail="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, feed: Mapping[str, Any], watch: TapeWatch | None) -> None:
        """Show how far it is."""
        detail = f"{feed.get('frames', 0):,} frames, tape {watch.position if watch else 0:,}"
        self._bar.update(self._task, completed=done, description=str(feed.get("detail", "")), detail=detail)


def _utc(at_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at_ns / 1e9))


async def run_headless(system: System, *, visible: bool) -> dict[str, Any]:
    """Start, play or run, stop; the summary. ``visible``: a progress bar on stderr."""

    async def work() -> None:
        telling = asyncio.create_task(_tell_stopped(system.reports))
        try:
            await _work(system, visible=visible)
        finally:
            telling.cancel()

    return await _run(system, work)


async def _tell_stopped(reports: Reports) -> None:
    """Say on stderr which services do not go on, and why: the run waits for them."""
    told: dict[str, str] = {}
    while True:
        await reports.wait_for(lambda _: False, STOPPED_CHECK_S)
        for service, report in reports.latest.items():
            stopped = report.get("state") in ("refused", "stopped")
            text = f"{service} {report['state']}: {report.get('detail', '')}" if stopped else ""
            if text and told.get(service) != text:
                print(f"presage: {text}", file=sys.stderr)
            told[service] = text


async def _run(system: System, work: Callable[[], Coroutine[Any, Any, None]]) -> dict[str, Any]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    async def whole() -> None:
        await system.start()
        await work()

    working = asyncio.create_task(whole())
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)
        await system.stop()
    return system.summary.document()


async def run_viewed(system: System, draw: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    """As ``run_headless``, with the terminal view instead of a progress bar, until the stop begins."""

    async def work() -> None:
        drawing = asyncio.ensure_future(draw())
        try:
            await _work(system, visible=False)
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)

    return await _run(system, work)


async def _work(system: System, *, visible: bool) -> None:
    if system.options.recordings:
        with PlayProgress(system.options.recordings, visible=visible) as progress:
            await system.play(progress)
    elif system.options.for_s is not None:
        await asyncio.sleep(system.options.for_s)
    else:
        await asyncio.Event().wait()
