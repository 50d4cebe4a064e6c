"""The state directory: where everything of one installation lives, and how it is being run.

::

    STATE/
      run.json        what this run is: broker address, tape id, sources; of a database of yours the password
      supervisor.lock held by the one supervisor, whose process id is in it
      tape.json       tape id and epoch, newest sequence seen, the boot in which it was open
      money           paper, sandbox or real, and mana if it is: whose money the account is, once and for all
      origins.json    where the last start had every setting from
      overrides.yaml  what accepted changes have set over the configuration: a copy, the tape is what counts
      PAUSED          present while a server's disk is full; closes execution's gate, goes by itself
      HALT            present while halted; closes execution's gate whatever else works
      broker/         nats-server: configuration, credentials/<user>, jetstream/
      postgres/       the journal's database
      keys/           operator.key, risk.key, console.key, monitor.key (owner only), public.json, retired.json;
                      venues/ the trading keys, encrypted; feed/ read-only keys for market data; notify/ the
                      channels' tokens and addresses
      snapshots/      <machine>/<seq>.snapshot
      claims/         execution's own synced record of its claims
      journal/        anchors of the hash chain
      logs/           one file a service
      archive/        <tape>/<first>-<last>.segment: the whole record, sealed stretch by stretch
      advisor/        asked.log: the questions that have left for a model
      notify/         state.json: how far notifications have read the tape, and what waits to be told; owner only
      console/        users.json, sessions.json, secret: who may log in to the console, and has; owner only
      frames/         <date>/frames-<n>.jsonl.gz: raw frames of the live venues, see services/feed/recording/recorder.py
"""

import json
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from libs.config.environment import Environment
from libs.files import write_atomically

OWNER_ONLY = 0o700
"""Of folders: what is in them is nobody else's to read, whatever the files' own rights."""
Decoded = TypeVar("Decoded")
MADE_ANEW = "remove the file while nothing runs, and the next `presage up` makes another"
BUILD = "0.1.0"
"""Version of this build; on every message, in every health report."""


class StateFileError(ValueError):
    """A file of the state directory is cut or changed; the text names it, and what mends it."""


class RunFile(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the supervisor tells the services of one run."""

    broker_url: str
    tape: str
    database_url: str = ""
    lockstep: bool = False
    speed: float | None = None
    recordings: list[str] = msgspec.field(default_factory=list)
    synthetic_seed: int | None = None
    socket_urls: list[str] = msgspec.field(default_factory=list)
    venues: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """Venue → its resolved section of the configuration (with the sandbox's addresses, when it is used)."""
    adopt: list[str] = msgspec.field(default_factory=list)
    adopt_to: int = 0
    metrics_ports: dict[str, int] = msgspec.field(default_factory=dict)
    strategies: list[str] = msgspec.field(default_factory=list)
    supervisor_pid: int = 0
    """The process that started the services and restarts them; 0 where they run elsewhere."""
    archive_keep_days: int = 0
    keys: str = ""
    """Where services run elsewhere: a digest of the public keys, so that they begin anew with other ones."""
    boot: str = ""
    """Where services run elsewhere: the boot in which the tape was looked at. In another one the run is over."""
    cluster: bool = False
    """Whether the broker is a cluster: then services hold leases, and several processes of one may run."""
    brokers: list[str] = msgspec.field(default_factory=list)
    """Of a cluster, in place of the boot: the ids of its nodes when the tape was looked at."""
    optional_services: list[str] = msgspec.field(default_factory=list)
    news: dict[str, Any] = msgspec.field(default_factory=dict)
    """The section ``news``."""
    notify: dict[str, Any] = msgspec.field(default_factory=dict)
    """The section ``notify``, where it has channels."""
    advisor_url: str = ""
    """Where the sandbox's models are; empty without them."""
    console_url: str = ""
    """Where the console is; empty without one."""


class TapeFile(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of the tape: its id, the id it began with, epoch, newest sequence, the boot it was open in.

    ``brokers``: of a cluster, in place of the boot, the ids of its nodes; each start gives a node another one.
    """

    tape: str
    base: str
    epoch: int
    last_seq: int
    boot: str = ""
    brokers: list[str] = msgspec.field(default_factory=list)


class StateLayout:
    """Paths in a state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root = root.resolve()
        self.run_file = root / "run.json"
        self.supervisor_lock = root / "supervisor.lock"
        self.tape_file = root / "tape.json"
        self.money_file = root / "money"
        gate = Environment.read().gate_dir or root
        self.halt_file = gate / "HALT"
        self.pause_file = gate / "PAUSED"
        self.origins_file = root / "origins.json"
        self.overrides_file = root / "overrides.yaml"
        self.servers_file = root / "servers.json"
        self.replay_file = root / "replay.json"
        self.broker = root / "broker"
        self.postgres = root / "postgres"
        mounted_keys = Environment.read().signing_keys_dir
        self.keys = mounted_keys or root / "keys"
        self.operator_key = self.keys / "operator.key"
        self.risk_key = self.keys / "risk.key"
        self.console_key = self.keys / "console.key"
        self.monitor_key = self.keys / "monitor.key"
        self.public_keys = self.keys / "public.json"
        self.venue_keys = root / "keys" / "venues"
        self.feed_keys = root / "keys" / "feed"
        self.claims = root / "claims"
        self.journal = root / "journal"
        self.logs = root / "logs"
        self.frames = root / "frames"
        self.console = root / "console"
        self.notify = root / "notify"
        self.archives = root / "archive"

    @property
    def exists(self) -> bool:
        """Whether there is a state directory."""
        return self.root.exists()

    @property
    def was_run(self) -> bool:
        """Whether a system was ever run in it."""
        return self.run_file.exists()

    def prepare(self) -> None:
        """Create the directories."""
        for path in (self.root, self.broker):
            path.mkdir(parents=True, exist_ok=True)
        # Positions, orders and answers of venues are in them; folders of earlier builds were open to everybody.
        for path in (self.root / "keys", self.claims, self.journal, self.logs, self.frames):
            path.mkdir(exist_ok=True, mode=OWNER_ONLY)
            # Where services run elsewhere some are mounted for reading alone, and have their rights already.
            if stat.S_IMODE(path.stat().st_mode) != OWNER_ONLY:
                path.chmod(OWNER_ONLY)

    def password(self, user: str) -> str:
        """The broker password of a user: from a file of that name in ``PRESAGE_NATS_CREDENTIALS``, or ours."""
        directory = Environment.read().nats_credentials or self.broker / "credentials"
        found = (directory / user).read_text().strip()
        if not found:
            raise StateFileError(f"expected a password in {directory / user}, was none: {MADE_ANEW}")
        return found

    def read_run(self) -> RunFile:
        """How the current (or last) run is set up.

        Raises:
            FileNotFoundError: nothing was ever run in this state directory.
            StateFileError: it is cut or changed.
        """
        return decode_file(self.run_file, RunFile, "the next `presage up` writes it anew")

    def write_run(self, run: RunFile) -> None:
        """Replace the run file as a whole."""
        write_atomically(self.run_file, msgspec.json.format(msgspec.json.encode(run), indent=1))

    def read_servers(self) -> dict[str, Any]:
        """How the servers of the run are, and ``stopping`` once it ends; empty before the supervisor said."""
        try:
            return decode_file(self.servers_file, dict[str, Any], "remove it: the supervisor writes it anew")
        except FileNotFoundError:
            return {}

    def read_tape(self) -> dict[str, Any] | None:
        """``{"tape", "base", "epoch", "last_seq", …}``, or ``None`` before the first run."""
        if not self.tape_file.exists():
            return None
        remedy = "put a copy back: without it nothing tells whether the tape lost its tail"
        found: dict[str, Any] = msgspec.to_builtins(decode_file(self.tape_file, TapeFile, remedy))
        return found

    @property
    def archive(self) -> Path:
        """Where the archive of this directory's tape is: another tape counts from 1 again, and has its own."""
        known = self.read_tape()
        return self.archives / (str(known["base"]) if known is not None else "none")

    def write_tape(self, content: dict[str, Any]) -> None:
        """Replace the tape file as a whole."""
        write_atomically(self.tape_file, json.dumps(content).encode())


def decode_file(path: Path, kind: type[Decoded], remedy: str) -> Decoded:
    """Read a JSON file of the state directory.

    Raises:
        StateFileError: it is cut or changed; ``remedy`` says what mends it.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as e:
        raise StateFileError(f"expected {path} to be whole, was cut or changed ({e}); {remedy}") from e
