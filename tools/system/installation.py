"""One installation: its servers, keys and tape, made on first use and kept in a state directory."""

import asyncio
import fcntl
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic, sleep

import asyncpg
import msgspec
import nats.errors

from libs.config.environment import Environment
from libs.database.embedded import DatabaseInUse, EmbeddedPostgres
from libs.keys.signing import OPERATOR_DOMAIN, Signer
from libs.machine.snapshots import SnapshotStore
from libs.runtime.boot import boot_id
from libs.runtime.layout import StateLayout
from libs.tape.broker import READY_TIMEOUT_S, Broker, ensure_streams, stream_state
from libs.tape.claim_copies import wait_for_claim_copies
from libs.tape.cluster import REPLICAS, node_ids, went_down
from libs.tape.connection import CONNECT_PATIENCE_S, Link, open_link, servers_of
from libs.tape.credentials import ADMIN, OPERATOR, VIEWER, claims_prefix, lease_subject
from libs.tape.errors import BrokerUnavailable, TapeError
from proto.subjects import ALL_SERVICES, MACHINE_ORDER
from tools.exit_codes import UsageError
from tools.system.shares import Shares
from tools.system.signing_keys import SigningKeys

LOCK_ATTEMPTS = 10
LOCK_WAIT_S = 0.05
NODES_PATIENCE_S = 3.0
"""How long a start waits for nodes that do not answer: one that is only busy counts as gone otherwise."""

NODES_REPLACED = "most nodes of the broker went down at once"
"""Why everything halts then."""

RUNNING_PATIENCE_S = 2.0
"""A running system's broker answers at once, or is gone: who halts must not wait for it."""


class Installation:
    """The servers and keys of a state directory.

    With ``PRESAGE_NATS_URL`` and ``PRESAGE_DATABASE_URL`` set, those servers are used and not ours; with
    ``PRESAGE_SERVICES_DIR`` the services run elsewhere.
    """

    def __init__(self, root: Path) -> None:
        self.layout = StateLayout(root.resolve())
        self.layout.prepare()
        self.was_cut = False
        self.is_cluster = False
        self.brokers: list[str] = []
        environment = Environment.read()
        self.external_broker = environment.nats_url
        self.external_database = environment.database_url.get_secret_value()
        self.shares = Shares(environment.services_dir) if environment.services_dir else None
        self.broker = Broker(self.layout.broker)
        self.database = EmbeddedPostgres(self.layout.postgres)
        self._lock: int | None = None
        self.signing_keys = SigningKeys(self.layout)
        self.signing_keys.prepare()

    @property
    def broker_url(self) -> str:
        return self.external_broker or self.broker.url

    def operator_signer(self) -> Signer:
        """The operator's key."""
        return Signer.load(OPERATOR_DOMAIN, self.layout.operator_key)

    def acquire(self) -> int:
        """Become the one supervisor of this state directory; another one's process id when there is one.

        The lock ends with the process that holds it, however it ends. Servers that its last holder left
        behind are ended.
        """
        descriptor = os.open(self.layout.supervisor_lock, os.O_RDWR | os.O_CREAT, 0o600)
        for _ in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Perhaps only somebody who looks who holds it, for a moment.
                sleep(LOCK_WAIT_S)
            else:
                break
        else:
            other = int(os.read(descriptor, 20) or b"0")
            os.close(descriptor)
            return other or -1
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._lock = descriptor
        if not self.external_broker:
            self.broker.end_orphans()
        return 0

    @property
    def owned(self) -> bool:
        """Whether this process is the supervisor of the state directory."""
        return self._lock is not None

    def release(self) -> None:
        """Stop being the supervisor."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def start_broker(self) -> None:
        """Start our broker, or make sure the streams exist on the given one."""
        if self.external_broker:
            await self._ensure_external_streams()
            return
        if not await self._answers():
            self.broker.start()
        await self.broker.ready()

    async def _ensure_external_streams(self) -> None:
        """Make the streams; a cluster whose nodes are just starting is waited for.

        Raises:
            BrokerUnavailable: there is no broker, or too few nodes.
            TapeError: it refuses a stream.
        """
        password = self.layout.password
        claims = claims_prefix(password("execution"))
        deadline_s = monotonic() + (READY_TIMEOUT_S if len(servers_of(self.external_broker)) > 1 else 0)
        while True:
            try:
                leases = [lease_subject(service, password(service)) for service in ALL_SERVICES]
                self.is_cluster = await ensure_streams(
                    self.external_broker, password(ADMIN), claims, leases=leases
                )
            except BrokerUnavailable:
                if monotonic() > deadline_s:
                    raise
                await asyncio.sleep(LOCK_WAIT_S)
            else:
                return

    async def _nodes(self) -> list[str]:
        """The ids of a cluster's nodes that answer; none where the broker is no cluster.

        Raises:
            UsageError: the addresses name too few nodes to see that most of them went down.
        """
        if not self.is_cluster:
            return []
        servers = servers_of(self.external_broker)
        if len(set(servers)) < REPLICAS:
            raise UsageError(_too_few_nodes(f"{len(set(servers))} addresses"))
        deadline_s = monotonic() + NODES_PATIENCE_S
        while len(nodes := await node_ids(servers)) < len(servers) and monotonic() < deadline_s:
            await asyncio.sleep(LOCK_WAIT_S)
        if len(nodes) == len(servers) and len(set(nodes)) < REPLICAS:
            raise UsageError(_too_few_nodes(f"{len(servers)} addresses of {len(set(nodes))}"))
        return nodes

    async def note_nodes(self) -> bool:
        """Remember which nodes run, so that a rolling restart of them all is not taken for a power cut.

        Returns whether most were replaced since the last look. What they acknowledged last may be lost then while the
        services run on: it is not noted, and the gate shuts here.
        """
        if not self.brokers:
            return False
        nodes = await node_ids(servers_of(self.external_broker))
        known = self.layout.read_tape()
        if known is None or nodes == self.brokers or len(nodes) < len(self.brokers) // 2 + 1:
            return False
        if len(set(nodes) - set(self.brokers)) > len(self.brokers) // 2:
            self.layout.halt_file.write_text(NODES_REPLACED)
            return True
        # One that does not answer just now is not gone.
        if len(nodes) < len(self.brokers):
            return False
        self.brokers = nodes
        self.layout.write_tape(known | {"brokers": nodes})
        run = msgspec.structs.replace(self.layout.read_run(), brokers=nodes)
        self.layout.write_run(run)
        if self.shares is not None:
            self.shares.hand_out(self.layout, run, {})
        return False

    async def _answers(self) -> bool:
        """Whether a broker of this state directory is running already (started by somebody else)."""
        try:
            await self.broker.ensure_streams()
        except TapeError:
            return False
        return True

    async def start_database(self) -> str:
        """Start our PostgreSQL, or take the given one; its address."""
        if self.external_database:
            return self.external_database
        return await asyncio.to_thread(self.database.start)

    async def open_tape(self, link: Link) -> tuple[str, bool]:
        """The tape's id, and whether this is a new epoch: the tape lost its tail since the last run, or may have.

        A new epoch has a new id, so that nothing of the lost tail can be mistaken for what follows, and the HALT file
        is there before it. After a power cut nothing proves that tape and ledger are whole: they are synced every
        second, not before an order leaves.
        """
        last_seq = int((await stream_state(link.client))["last_seq"])
        known = self.layout.read_tape()
        nodes = self.brokers = await self._nodes()
        # A cluster has the tape on other machines: what counts is which of its nodes ran on.
        opened = {"boot": "", "brokers": nodes} if self.is_cluster else {"boot": boot_id()}
        if known is None:
            base = secrets.token_hex(4)
            known = {"tape": base, "base": base, "epoch": 0, "last_seq": last_seq}
            self.layout.write_tape(known | opened)
            return base, False
        is_shorter = max(int(known["last_seq"]), self._newest_snapshot()) > last_seq
        ran_on = known.pop("brokers", [])
        # Another boot, or a restored backup: what came after it may be gone, wherever its streams are now.
        self.was_cut = known.get("boot", "") not in ("", boot_id())
        if self.is_cluster:
            self.was_cut = self.was_cut or went_down(ran_on, nodes)
        if not is_shorter and not self.was_cut:
            self.layout.write_tape(known | opened)
            return str(known["tape"]), False
        epoch = int(known["epoch"]) + 1
        tape = f"{known['base']}e{epoch}"
        for store in self._snapshots():
            store.remove_after(last_seq)
        self.signing_keys.tape_ends_at(last_seq)
        # Before the tape file, after which a start that gets no further leaves nothing else to tell of it.
        why = "the machine went down" if self.was_cut else "the tape lost its tail"
        self.layout.halt_file.write_text(f"new epoch: {why}")
        self.layout.write_tape(known | {"tape": tape, "epoch": epoch, "last_seq": last_seq} | opened)
        return tape, True

    def _newest_snapshot(self) -> int:
        newest = 0
        for store in self._snapshots():
            newest = max(newest, next((snapshot.seq for snapshot in store.each_newest_first()), 0))
        return newest

    def _snapshots(self) -> list[SnapshotStore]:
        """The snapshots of every machine, wherever it runs."""
        if self.shares is not None:
            return self.shares.snapshots()
        return [SnapshotStore(self.layout.root / "snapshots", machine) for machine in MACHINE_ORDER]

    def record_position(self, seq: int) -> None:
        """Remember how far the tape is known to reach."""
        known = self.layout.read_tape()
        if known is not None and seq > int(known["last_seq"]):
            self.layout.write_tape(known | {"last_seq": seq})

    def record_stop(self) -> None:
        """Remember that the servers were stopped: what they had is on the disk, whatever the machine does next."""
        known = self.layout.read_tape()
        if known is not None and not self.is_cluster:
            self.layout.write_tape(known | {"boot": ""})

    async def connect(self, user: str = VIEWER, patience_s: float = CONNECT_PATIENCE_S) -> Link:
        """A connection for who reads, or the operator."""
        return await open_link(self.broker_url, user, self.layout.password(user), patience_s=patience_s)

    async def stop(self) -> None:
        """Stop the servers that were started here."""
        if self.broker.process is not None:
            await asyncio.to_thread(self.broker.stop)
        if not self.external_database:
            await asyncio.to_thread(self.database.stop)


def _too_few_nodes(was: str) -> str:
    return f"expected PRESAGE_NATS_URL to name each of the cluster's {REPLICAS} nodes, was {was}"


def running_supervisor(layout: StateLayout) -> int:
    """Process id of the supervisor that runs this state directory; 0 when there is none."""
    try:
        descriptor = os.open(layout.supervisor_lock, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(descriptor, 20) or b"0")
    else:
        return 0
    finally:
        os.close(descriptor)


class SystemGone(TapeError):
    """The running system that was asked has stopped meanwhile, or is about to; the text says which."""


@contextmanager
def _asking(layout: StateLayout, pid: int) -> Iterator[None]:
    """What breaks off because the system of process ``pid`` (0: none runs) stops says so, and not how it broke."""
    try:
        yield
    except (TapeError, nats.errors.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as e:
        if pid and not running_supervisor(layout):
            raise SystemGone(f"the system in {layout.root} has just stopped; ask again") from e
        if pid and layout.read_servers().get("stopping"):
            raise SystemGone(f"the system in {layout.root} is stopping; ask again in a moment") from e
        raise


@asynccontextmanager
async def database_access(installation: Installation) -> AsyncIterator[str]:
    """The address of the database, whether the system runs or not (then ours runs meanwhile).

    Raises:
        DatabaseInUse: another command has started ours.
        SystemGone: the running system ended meanwhile.
    """
    running = running_supervisor(installation.layout)
    if running:
        with _asking(installation.layout, running):
            yield installation.layout.read_run().database_url
        return
    ours = not installation.external_database
    try:
        yield await installation.start_database()
    except DatabaseInUse:
        # Somebody else's, who would lose it by our stopping it.
        ours = False
        raise
    finally:
        if ours:
            await asyncio.to_thread(installation.database.stop)


@asynccontextmanager
async def stopped_database(installation: Installation) -> AsyncIterator[str]:
    """The address of the database, while nothing else can start in its state directory.

    Raises:
        DatabaseInUse: another command has started ours.
        UsageError: a system runs.
    """
    with nothing_running(installation):
        dsn = await installation.start_database()
        try:
            yield dsn
        finally:
            if not installation.external_database:
                await asyncio.to_thread(installation.database.stop)


def expect_run(root: Path, *, finished_start: bool = True) -> None:
    """Refuse a directory in which nothing was run, so that a mistyped name does not become an installation.

    ``finished_start=False`` also takes one whose first start has come no further than its tape.

    Raises:
        UsageError: nothing was run there.
    """
    layout = StateLayout(root)
    if not layout.was_run and (finished_start or not layout.tape_file.exists()):
        raise UsageError(f"expected a system that was run before in {layout.root}, was none")


@asynccontextmanager
async def tape_access(root: Path, user: str = VIEWER) -> AsyncIterator[tuple[Installation, Link]]:
    """The tape of a state directory, whether the system runs or not (then our broker runs meanwhile).

    Raises:
        SystemGone: the running system ended meanwhile.
        UsageError: nothing was run there.
    """
    expect_run(root, finished_start=False)
    installation = Installation(root)
    running = running_supervisor(installation.layout)
    if not running:
        await installation.start_broker()
    with _asking(installation.layout, running):
        link = await installation.connect(user, RUNNING_PATIENCE_S if running else CONNECT_PATIENCE_S)
        try:
            yield installation, link
        finally:
            await link.close()
            if not running and installation.broker.process is not None:
                await asyncio.to_thread(installation.broker.stop)


@asynccontextmanager
async def stopped_tape(installation: Installation) -> AsyncIterator[int]:
    """The newest sequence of the tape, while nothing else can start in its state directory; 0 without a tape.

    No claim is still on its way from the ledger to the tape: it would get a later sequence.

    Raises:
        UsageError: a system runs.
        BrokerUnavailable: the claims do not come.
    """
    with nothing_running(installation):
        if installation.layout.read_tape() is None:
            yield 0
            return
        await installation.start_broker()
        link = await installation.connect(ADMIN)
        try:
            await wait_for_claim_copies(link)
            yield int((await stream_state(link.client))["last_seq"])
        finally:
            await link.close()
            if installation.broker.process is not None:
                await asyncio.to_thread(installation.broker.stop)


@contextmanager
def nothing_running(installation: Installation) -> Iterator[None]:
    """See to it that no system runs in a state directory, or starts there meanwhile.

    Raises:
        UsageError: one runs.
    """
    other = installation.acquire()
    if other:
        raise UsageError(
            f"expected nothing to run in {installation.layout.root}, was process {other}: presage stop"
        )
    try:
        yield
    finally:
        installation.release()


__all__ = [
    "OPERATOR",
    "Installation",
    "SystemGone",
    "database_access",
    "expect_run",
    "running_supervisor",
    "stopped_database",
    "stopped_tape",
    "tape_access",
]
