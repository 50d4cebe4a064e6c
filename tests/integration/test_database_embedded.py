"""The embedded PostgreSQL: real, durable, owned by its caller, and gone without a trace."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from libs.database.embedded import DatabaseInUse, DatabaseStartError, EmbeddedPostgres
from tests.support.cluster import with_cluster

Make = Callable[..., EmbeddedPostgres]


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="presage-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """Servers over ``folder / where``, a made cluster unless ``fresh``; stopped when the test is over."""
    made: list[EmbeddedPostgres] = []

    def server(where: str = "postgres", *, fresh: bool = False) -> EmbeddedPostgres:
        path = folder / where
        made.append(EmbeddedPostgres(path if fresh else with_cluster(path)))
        return made[-1]

    yield server
    for one in made:
        one.stop()


def query(dsn: str, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def servers_in(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and folder in Path(process.cwd()).parents:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_it_starts_stops_and_keeps_what_was_stored(folder: Path, make: Make) -> None:
    server = make(fresh=True)
    dsn = server.start()
    query(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert server.start() == dsn
    server.stop()
    assert server.pid is None
    assert servers_in(folder) == []
    assert server.start() == dsn
    assert query(dsn, "SELECT answer FROM kept") == 42
    server.stop()


def test_it_recovers_from_kill_9_with_the_same_address(make: Make) -> None:
    server = make()
    dsn = server.start()
    for round_number in range(3):
        query(dsn, f"CREATE TABLE kept_{round_number} AS SELECT 1")
        server.kill()
        assert server.pid is None
        assert server.start() == dsn
        assert query(dsn, f"SELECT count(*) FROM kept_{round_number}") == 1
    server.stop()


def test_a_server_left_by_another_owner_is_ended_first(folder: Path, make: Make) -> None:
    left = make()
    left.start()
    pid = left.pid
    server = make()
    dsn = server.start()
    assert query(dsn, "SELECT 1") == 1
    assert pid is not None
    assert left.pid is None
    assert pid not in servers_in(folder)
    server.stop()


def test_a_stale_pid_file_naming_a_living_process_does_not_matter(make: Make) -> None:
    server = make()
    server.start()
    server.kill()
    stale = server.data_dir / "postmaster.pid"
    lines = stale.read_text().splitlines()
    stale.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert query(server.start(), "SELECT 1") == 1
    server.stop()


def test_a_cut_short_creation_is_done_again(make: Make) -> None:
    server = make(fresh=True)
    (server.data_dir / "base").mkdir(parents=True)
    (server.data_dir / "leftover").write_text("half")
    assert query(server.start(), "SELECT 1") == 1
    server.stop()


@pytest.mark.parametrize("name", ["with 'quotes' & blanks", "x" * 120])
def test_it_works_in_folders_that_only_the_caller_may_enter(folder: Path, make: Make, name: str) -> None:
    """As root the server runs as another user; a long path does not fit a socket's address."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = make(f"closed/{name}/postgres")
    dsn = server.start()
    assert query(dsn, "SELECT 1") == 1
    server.kill()
    assert query(server.start(), "SELECT 1") == 1
    socket = server.socket_dir
    server.stop()
    assert not any(socket.glob(".s.PGSQL*"))


def test_it_is_durable_and_only_its_user_can_reach_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c fsync=off")
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("SOME_SECRET", "hush")
    server = make()
    dsn = server.start()
    monkeypatch.delenv("PGOPTIONS")
    for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert query(dsn, f"SHOW {name}") == "on"
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    assert "password" not in dsn
    assert server.pid is not None
    process = psutil.Process(server.pid)
    assert process.uids().effective != 0
    assert "SOME_SECRET" not in process.environ()
    assert [c for c in process.net_connections("inet") if c.status == "LISTEN"] == []
    server.stop()


def test_a_start_that_fails_says_why_and_leaves_nothing(folder: Path, make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    (server.data_dir / "global" / "pg_control").unlink()
    with pytest.raises(DatabaseStartError, match="pg_control"):
        server.start()
    assert servers_in(folder) == []


OWNER = (
    "import sys, time; from pathlib import Path; from libs.database.embedded import EmbeddedPostgres;"
    "server = EmbeddedPostgres(Path(sys.argv[1])); server.start(); print(server.pid, flush=True);"
    "time.sleep(600)"
)


def test_a_server_whose_owner_lives_is_left_alone(make: Make, root: Path) -> None:
    server = make()
    arguments = [sys.executable, "-c", OWNER, str(server.state_dir)]
    with subprocess.Popen(arguments, cwd=root, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        with pytest.raises(DatabaseInUse, match=str(owner.pid)):
            server.start()
        assert psutil.Process(pid).is_running()
        owner.kill()
    # Its owner gone, it may be ended: at once, or by the kernel before.
    assert query(server.start(), "SELECT 1") == 1
    server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_it_ends_with_the_process_that_started_it(make: Make, root: Path) -> None:
    arguments = [sys.executable, "-c", OWNER, str(make().state_dir)]
    with subprocess.Popen(arguments, cwd=root, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
    server.wait(60)
    assert not server.is_running()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")
@pytest.mark.parametrize("uid", [65_534, 54_321, 0])
def test_root_starts_the_cluster_whoever_it_belongs_to(
    make: Make, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    """A user that comes first appears later; a directory from another machine, or copied by root."""
    server = make()
    assert query(server.start(), "SELECT 1") == 1
    server.stop()
    for path in (server.state_dir, *server.state_dir.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)
    monkeypatch.setattr("libs.database.embedded.SERVER_USERS", ("daemon", "nobody"))
    again = EmbeddedPostgres(server.state_dir)
    try:
        assert query(again.start(), "SELECT 1") == 1
        assert again.data_dir.stat().st_uid == (uid or pwd.getpwnam("daemon").pw_uid)
    finally:
        again.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_of_somebody_else_is_refused_with_the_remedy(make: Make) -> None:
    server = make()
    server.socket_dir.mkdir(exist_ok=True)
    os.chown(server.socket_dir, 54_321, 54_321)
    with pytest.raises(DatabaseStartError, match=r"was of user 54321; .*(chown -R|remove it)"):
        server.start()
