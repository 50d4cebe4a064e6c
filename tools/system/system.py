"""``presage up``: the whole system under one supervisor, live or playing recordings."""

import asyncio
import errno
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from libs.archive.archive import Archive
from libs.bounded import keep_newest
from libs.changes.overrides import Overrides
from libs.config.environment import Environment
from libs.files import write_atomically
from libs.lists.settings import overrides_text, write_origins
from libs.observability.server import SUPERVISOR
from libs.operator.desk import OperatorDesk, opening
from libs.operator.watch import Reports, TapeWatch
from libs.runtime.child import CONSOLE_VARIABLE
from libs.runtime.layout import RunFile, StateLayout
from libs.runtime.wiring import status_socket
from libs.tape.broker import stream_state
from libs.tape.connection import Link
from libs.tape.credentials import OPERATOR, VIEWER
from libs.tape.reader import REST_S
from libs.tape.record import TapeRecord
from libs.tasks import cancel_all
from proto.evaluation import ExitChange, SignalChange
from proto.execution import Claim
from proto.message import Message
from proto.monitor import Alert
from proto.operator import ClockOwner, Mode, Prices, Session, Verb
from proto.subjects import CONSOLE, SERVICES
from services.feed.recording.recording import open_recording, recording_start
from tools.exit_codes import UsageError
from tools.live.gate import closed_paper_trades, too_few
from tools.live.key_stores import store_of
from tools.live.money import account_of, require_account
from tools.live.real_hosts import is_own_network, stranger
from tools.system.advising import OFF, SERVICE, Advising
from tools.system.composition import strategy_names
from tools.system.evaluator_process import EvaluatorProcess
from tools.system.installation import Installation, database_access
from tools.system.node_watch import NodeWatch
from tools.system.options import MarketSource, Options
from tools.system.playback import Playback, ShowsProgress, check_order
from tools.system.sandbox_process import SandboxElsewhere, SandboxProcess, TestKeys, with_addresses
from tools.system.servers import ServerWatch
from tools.system.shares import runs_of, same_session
from tools.system.summary import Summary
from tools.system.supervisor import STATUS_HOST, Supervisor
from tools.system.supervisor_status import SupervisorStatus

START_PATIENCE_S = 180.0
"""Services are live within seconds; where other work takes the processors, within a minute or two."""
KEYED_SERVICES = ("feed", "execution")
"""Services that open keys of venues: the feed its read-only ones, execution those that trade."""
POSITION_NOTE_EVERY_S = 1.0
STORED_AT_KEPT = 200_000
"""Arrival times of tape messages kept for the latency of orders: minutes of a busy feed."""


Tell = Callable[[str], None]
"""Is told what a start or stop is at; the empty text when it is done."""


def untold(_: str) -> None:
    """For who does not want to know."""


class System:
    """A running system: servers, services, the operator's desk, and a watch on the tape."""

    def __init__(
        self,
        options: Options,
        sections: Mapping[str, Mapping[str, Any]],
        venues: Mapping[str, Mapping[str, Any]] | None = None,
        advising: Advising = OFF,
    ) -> None:
        """``venues``: venue → its section, with real addresses; a sandbox's take their place at the start.

        Raises:
            UsageError: the configuration names venues for real orders, past everything that stands before them.
        """
        self.options = options
        self.summary = Summary()
        self.reports = Reports()
        self.installation = Installation(options.state)
        self._shares = self.installation.shares
        self.advising = advising
        self._optional = ((SERVICE,) if advising.is_on else ()) + ((CONSOLE,) if options.console else ())
        services = () if self._shares else (*SERVICES, *self._optional)
        # Of the console one is enough: it decides nothing.
        doubled = [service for service in services if options.standby and service != CONSOLE]
        self.supervisor = Supervisor(self.installation.layout, services, standbys=tuple(doubled))
        self.observers: list[Any] = []
        self._overrides = Overrides()
        self.servers: ServerWatch | None = None
        self.tape = ""
        self.console_url = ""
        """Where the console is, once it was started."""
        self.new_epoch = False
        self.watch: TapeWatch | None = None
        self._sections = {**sections, **advising.sections}
        self._models_url = ""
        if named := sections.get("execution", {}).get("live_venues"):
            raise UsageError(
                f"expected no live_venues in the configuration, was {', '.join(named)}: --live and --sandbox-live set it"
            )
        if options.live:
            self._sections["execution"] = {**sections["execution"], "live_venues": sorted(options.live)}
        if self._shares and options.recordings:
            raise UsageError("expected no recording to play where the services run elsewhere, was one")
        self.venues: Mapping[str, Mapping[str, Any]] = venues or {}
        self._sandbox: SandboxProcess | None = None
        self.evaluator: EvaluatorProcess | None = None
        self._test_keys: Mapping[str, TestKeys] = {}
        self._desk: OperatorDesk | None = None
        self._status: SupervisorStatus | None = None
        self._status_socket: socket.socket | None = None
        self._database: asyncio.Task[str] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._links: list[Link] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stored_at: dict[int, int] = {}
        self._nonces: list[str] = []
        self._frames = 0

    # --- start and stop -------------------------------------------------------------------------

    @property
    def prices(self) -> Prices:
        """Where the prices of its sessions come from: at an address that is not the venue's nobody can say."""
        prices = self.options.prices
        return Prices.UNKNOWN if prices is Prices.REAL and stranger(self.venues) else prices

    @property
    def _at_sandbox(self) -> bool:
        return self.options.market is MarketSource.SANDBOX

    async def start(self, tell: Tell = untold) -> None:
        """Start servers, open the session, start the services.

        Raises:
            UsageError: this state directory is being run by somebody else, or real money has not passed the gate.
        """
        if self.options.money == "real" and set(self.options.live) - set(self.options.examined):
            raise UsageError(
                f"expected {', '.join(self.options.live)} to have passed the gate, was not examined"
            )
        layout = self.installation.layout
        self.installation.signing_keys.expect_all()
        other = self.installation.acquire()
        if other:
            raise UsageError(f"expected nobody to run {layout.root}, was process {other}")
        # What the last run said of its servers, and that it was stopping, is not true of this one.
        layout.servers_file.unlink(missing_ok=True)
        require_account(layout.money_file, account_of(self.options.money, self.options.live))
        tell(
            "starting broker, database and the venues' sandbox …"
            if self._at_sandbox
            else "starting broker and database …"
        )
        # Side by side: each of them mostly waits for its own files or its own interpreter.
        database = self._database = asyncio.create_task(self.installation.start_database())
        preparing = self._preparing = asyncio.create_task(self._prepare_venues())
        await self.installation.start_broker()
        if self.options.standby and not self.installation.is_cluster:
            raise UsageError("expected PRESAGE_NATS_URL to name a cluster for --standby, was one broker")
        operator = await self._connect(OPERATOR)
        self.tape, self.new_epoch = await self.installation.open_tape(operator)
        self._desk = OperatorDesk(operator, self.installation.operator_signer(), self.tape)
        await self._desk.start()
        if self.options.recordings:
            await check_order(operator, Archive(layout.archive), self.options.recordings)
        adopt_to = int((await stream_state(operator.client))["last_seq"])
        if self.options.money == "real":
            await self._check_paper_trades(await database)
        await preparing
        tell("starting the services …")
        run = self._run_file(await database, adopt_to)
        layout.write_run(run)
        commanded = {"execution.live_venues": "command line"} if self.options.live else {}
        write_origins(layout, {**self.options.origins, **commanded})
        await self.reports.listen(operator)
        self.watch = TapeWatch(await self._connect(), Archive(layout.archive), self._observe, rest_s=REST_S)
        await self._begin_session()
        servers = self.servers = ServerWatch(
            self.installation, operator, self.reports, realtime=not self.options.recordings
        )
        self.supervisor.start()
        if self._shares:
            self._shares.hand_out(layout, run, self._test_keys)
        if self.options.evaluator and not self.options.recordings and not self._shares:
            self.evaluator = EvaluatorProcess(layout)
            self.evaluator.start()
            self._tasks.append(asyncio.create_task(self.evaluator.watch()))
        await self._serve_status(operator, servers)
        nodes = NodeWatch(self.installation, self._desk)
        self.observers.append(nodes.observe)
        self._tasks += [
            asyncio.create_task(self.supervisor.watch()),
            asyncio.create_task(self.watch.follow()),
            asyncio.create_task(self._record_position()),
            asyncio.create_task(servers.watch()),
            asyncio.create_task(nodes.watch()),
        ]

    async def _begin_session(self) -> None:
        """Open the session that was asked for; a machine's tape is adopted while everything is halted."""
        assert self._desk is not None
        if self.options.adopt:
            self.installation.layout.halt_file.write_text("adopted")
        if self.options.recordings:
            await self._open_recording(self.options.recordings[0])
        elif not self._goes_on():
            await self._open(Mode.REALTIME, ClockOwner.MONITOR, time.time_ns(), "")
            self._record_session()
        if self.options.adopt:
            await self._desk.command(Verb.HALT, reason="adopted")

    async def _check_paper_trades(self, database_url: str) -> None:
        """Real money waits for paper trades of the same strategies."""
        paper = self.options.paper_state
        if paper is None:
            closed = await closed_paper_trades(database_url)
        else:
            if not StateLayout(paper).exists:
                raise UsageError(f"expected --paper-state to be a state directory, was {paper}")
            async with database_access(Installation(paper)) as dsn:
                closed = await closed_paper_trades(dsn)
        missing = too_few(closed, strategy_names(self.options.strategies))
        if missing:
            where = "--paper-state DIR says where they were made" if paper is None else f"in {paper}"
            raise UsageError(f"not ready for real money: {'; '.join(missing)} ({where})")

    async def _prepare_venues(self) -> None:
        """Start the sandbox, if venues are its; give addresses and keys to the services that need them."""
        elsewhere = Environment.read().sandbox_dir
        if self.options.market is MarketSource.SANDBOX and elsewhere is not None:
            remote = SandboxElsewhere(elsewhere)
            self.venues = with_addresses(self.venues, await remote.start(), is_own_network)
            self._test_keys = remote.keys
        elif self.options.market is MarketSource.SANDBOX:
            models = self.advising.wants_sandbox_models
            sandbox = SandboxProcess(
                self.installation.layout, self.options.seed, self.options.faults, models=models
            )
            self._sandbox = sandbox
            urls = await sandbox.start()
            self._models_url = urls.get("models", {}).get("openai", "")
            self._tasks.append(asyncio.create_task(sandbox.watch()))
            self.venues = with_addresses(self.venues, urls)
            for service in KEYED_SERVICES:
                self.supervisor.environment[service] = sandbox.environment()
        elif self.options.passphrase:
            # The feed gets it only for a key of its own: one that trades is none of its business.
            feed_keys = store_of(self.installation.layout.root, market_data=True)
            of_feed = any(feed_keys.needs_passphrase(venue) for venue in self.venues)
            wanted = {"feed": of_feed, "execution": bool(self.options.live)}
            self.supervisor.passphrase = self.options.passphrase
            self.supervisor.opening = tuple(service for service in KEYED_SERVICES if wanted[service])

    async def _connect(self, user: str = VIEWER) -> Link:
        link = await self.installation.connect(user)
        self._links.append(link)
        return link

    def _listen(self) -> dict[str, int]:
        """Open every status socket, ours first; the port of each process."""
        base = self.options.metrics_port
        own = status_socket() or socket.create_server((STATUS_HOST, base))
        self._status_socket = own
        return {SUPERVISOR: own.getsockname()[1]} | self.supervisor.listen(base + 1 if base else 0)

    def _listen_for_browsers(self) -> str:
        """Open the console's socket; its address, empty without a console.

        It stays open here, so that the address is the same after a restart. Where the usual one is taken, any free port
        does: the address is told in any case.
        """
        if not self.options.console or self._shares:
            return ""
        environment = Environment.read()
        host, _, port = environment.console_address.rpartition(":")
        host = host.strip("[]")
        try:
            opened = socket.create_server((host, int(port)))
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            opened = socket.create_server((host, 0))
        self.supervisor.listening[CONSOLE] = (CONSOLE_VARIABLE, opened)
        scheme = "https" if environment.console_certificate is not None else "http"
        self.console_url = f"{scheme}://{host}:{opened.getsockname()[1]}"
        return self.console_url

    def _run_file(self, database_url: str, adopt_to: int) -> RunFile:
        options = self.options
        return RunFile(
            broker_url=self.installation.broker_url,
            tape=self.tape,
            database_url=database_url,
            lockstep=bool(options.recordings) and options.speed is None,
            speed=options.speed,
            recordings=[str(path.resolve()) for path in options.recordings],
            synthetic_seed=None if options.recordings or options.sockets or self.venues else options.seed,
            socket_urls=options.sockets,
            venues={venue: dict(section) for venue, section in self.venues.items()},
            adopt=options.adopt,
            adopt_to=adopt_to if options.adopt else 0,
            metrics_ports=self._listen(),
            strategies=list(options.strategies),
            supervisor_pid=os.getpid(),
            archive_keep_days=options.archive_keep_days,
            # Only an advisor reads them.
            news=dict(options.news) if self.advising.is_on else {},
            notify=dict(options.notify) if options.notify.get("channels") else {},
            optional_services=list(self._optional),
            console_url=self._listen_for_browsers(),
            advisor_url=self._models_url,
            cluster=self.installation.is_cluster,
            brokers=self.installation.brokers,
        )

    def _goes_on(self) -> bool:
        """Whether services that run elsewhere are in this very session already: a supervisor that was restarted alone."""
        return (
            bool(self._shares)
            and not self.options.adopt
            and same_session(self._session_file, self._session())
        )

    def _record_session(self) -> None:
        if self._shares:
            write_atomically(self._session_file, json.dumps(self._session()).encode())

    @property
    def _session_file(self) -> Path:
        return self.installation.layout.root / "session.json"

    def _session(self) -> dict[str, Any]:
        """What makes a session this one, as plain data."""
        sections = {
            **self._sections,
            **{f"venues.{venue}": dict(told) for venue, told in self.venues.items()},
        }
        return {"tape": self.tape, "prices": self.prices.value, "sections": json.loads(json.dumps(sections))}

    async def _serve_status(self, operator: Link, servers: ServerWatch) -> None:
        """Serve the supervisor's health and metrics, beside the services'."""
        layout = self.installation.layout
        store = self._shares.broker_data if self._shares else layout.broker
        disks = {"state": layout.root, "broker": store}
        run_of = runs_of(self._shares, self.installation.operator_signer()) if self._shares else None
        self._status = SupervisorStatus(operator, servers.document, disks, run_of, layout.replay_file)
        assert self._status_socket is not None
        await self._status.start(self._status_socket)

    async def _open(self, mode: Mode, owner: ClockOwner, started_at_ns: int, recording: str) -> None:
        assert self._desk is not None
        for message in opening(
            self.tape,
            mode=mode,
            clock_owner=owner,
            started_at_ns=started_at_ns,
            # Machines read none of the venues' sections; who looks at the tape later may.
            sections={**self._sections, **{f"venues.{venue}": told for venue, told in self.venues.items()}},
            prices=self.prices,
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
        if self.servers is not None:
            self.servers.announce_stopping()
        if self._status is not None:
            await self._status.close()
        if self._preparing is not None:
            await cancel_all([self._preparing])
        if self._status_socket is not None:
            self._status_socket.close()
        await self._stop_processes()
        self._count_frames()
        if self.watch is not None:
            self.installation.record_position(self.watch.position)
        for link in self._links:
            await link.close()
        if self._database is not None:
            # A start that goes on in its thread would put up a server after everything was stopped.
            await asyncio.gather(self._database, return_exceptions=True)
        await self.installation.stop()
        self.installation.record_stop()
        self.installation.release()

    async def _stop_processes(self) -> None:
        """End the services, what runs beside them, and what follows them here."""
        if self.evaluator is not None:
            await self.evaluator.stop()
        await self.supervisor.stop()
        await cancel_all(self._tasks)
        if self._sandbox is not None:
            await self._sandbox.stop()

    async def _record_position(self) -> None:
        assert self.watch is not None
        while True:
            await asyncio.sleep(POSITION_NOTE_EVERY_S)
            self.installation.record_position(self.watch.position)
            self._count_frames()

    def _count_frames(self) -> None:
        """Of venues and synthetic frames, as the feed reports them; of what is played the tape tells."""
        frames = int(self.reports.latest.get("feed", {}).get("frames", 0))
        if not self.options.recordings:
            # A feed that was restarted counts from nothing.
            self.summary.frames += frames - self._frames if frames >= self._frames else frames
        self._frames = frames

    # --- watching -------------------------------------------------------------------------------

    def _observe(self, record: TapeRecord, message: Message) -> None:
        self.summary.add(record.seq, message)
        self.summary.outputs.add_record(record.message_id, record.subject, record.payload)
        self._stored_at[record.seq] = record.stored_at_ns
        keep_newest(self._stored_at, STORED_AT_KEPT)
        if isinstance(message, Claim):
            self._record_latency(record)
        elif isinstance(message, SignalChange | ExitChange):
            self._copy_overrides(message)
        elif isinstance(message, Alert) and message.rule == "divergence" and message.active:
            self.summary.divergences += 1
        for observer in self.observers:
            observer(record, message)

    def _copy_overrides(self, message: SignalChange | ExitChange) -> None:
        if self._overrides.add(message):
            text = overrides_text(self._overrides.in_force())
            write_atomically(self.installation.layout.overrides_file, text.encode())

    def _record_latency(self, record: TapeRecord) -> None:
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

    async def play(self, progress: ShowsProgress) -> None:
        """Play all recordings, one session each, until the last has been played and followed up."""
        assert self.watch is not None
        playback = Playback(
            self._links[0],
            self.watch,
            self.reports,
            self.installation.layout.root / "feed.json",
            self._open_recording,
            lambda: self._nonces[-1],
        )
        await playback.run(self.options.recordings, progress)
