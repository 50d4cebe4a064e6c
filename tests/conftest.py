"""What every test may use: hypothesis profiles, counts that grow in a soak run, recordings."""

import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.internal.conjecture import providers

from libs.database.embedded import EmbeddedPostgres
from libs.tape.broker import Broker
from tests.support.cluster import with_cluster
from tests.support.containers import (
    NATS_IMAGE,
    POSTGRES_IMAGE,
    ContainerBroker,
    ContainerPostgres,
    what_is_missing,
)
from tests.support.official import NEWER_PYTHON, NODE_CLIENTS, PYTHON, OfficialClients
from tests.support.paths import ROOT

SOAK = os.environ.get("PRESAGE_SOAK") == "1"

# Images often forbid Python to keep what it compiled. The tests start hundreds of processes of ours, each of which
# would compile everything again (a fifth of its start), and so would every worker of pytest (8 s of 13).
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Times are shown in the operator's zone: tests are an operator whose clock is UTC, wherever they run.
os.environ["PRESAGE_TIME_ZONE"] = "UTC"

# No deadline: the machine that runs the tests may be shared, and a property is about results, not speed.
# The quick suite takes the same examples each time: whether a change passes is no matter of luck. `make soak` searches.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize=True,
)
settings.register_profile(
    "soak",
    settings.get_profile("default"),
    max_examples=5_000,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis"),
)
settings.load_profile("soak" if SOAK else "default")
if not SOAK:
    # Hypothesis also draws numbers and texts that stand in whatever modules of ours are loaded by then: the examples would
    # depend on which tests came before, and on which worker.
    providers._get_local_constants = lambda: providers._local_constants


@pytest.fixture(scope="session")
def count() -> Callable[[int, int], int]:
    """``count(small, full)``: the small number in ``make test``, the full one in ``make soak``.

    A test that uses it is marked ``soak``, so that ``make soak`` finds it.
    """

    def choose(small: int, full: int) -> int:
        return full if SOAK else small

    return choose


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded sessions; ``PRESAGE_RECORDINGS`` names another one.

    Recordings are too large for the repository: a test that needs them is marked ``recorded`` and is
    skipped, with the reason in pytest's summary, where there are none.
    """
    folder = Path(os.environ.get("PRESAGE_RECORDINGS", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings: expected a folder {folder}; PRESAGE_RECORDINGS names another")
    return folder


def _official(python: Path) -> Iterator[OfficialClients]:
    if not python.is_file():
        pytest.skip(f"no clients of the venues: expected {python.relative_to(ROOT)}; run: make clients")
    clients = OfficialClients(python, "-m", "tests.official")
    yield clients
    clients.close()


@pytest.fixture(scope="session")
def official() -> Iterator[OfficialClients]:
    """The venues' own clients, which live in an environment of their own."""
    yield from _official(PYTHON)


@pytest.fixture(scope="session")
def newer_official() -> Iterator[OfficialClients]:
    """Those of them that want a newer Python, or one version of what they need."""
    yield from _official(NEWER_PYTHON)


@pytest.fixture(scope="session")
def node_official() -> Iterator[OfficialClients]:
    """Those of them that are written for Node."""
    node = shutil.which("node")
    if node is None or not NODE_CLIENTS.is_dir():
        pytest.skip(f"expected node and {NODE_CLIENTS.relative_to(ROOT)}; run: make clients-node")
    clients = OfficialClients(node, "tests/official/clob_v2.mjs")
    yield clients
    clients.close()


@pytest.fixture(scope="session", params=["own", "container"])
def servers(request: pytest.FixtureRequest) -> str:
    """Whose broker and database: those we start ourselves, and containers of the usual images."""
    if request.param == "container":
        for image in (NATS_IMAGE, POSTGRES_IMAGE):
            if missing := what_is_missing(image):
                pytest.skip(missing)
    return str(request.param)


@pytest.fixture(scope="session")
def broker_type(servers: str) -> type[Broker]:
    """Makes a broker in a state directory."""
    return ContainerBroker if servers == "container" else Broker


@pytest.fixture(scope="session")
def postgres(servers: str) -> Iterator[EmbeddedPostgres | ContainerPostgres]:
    """A real server of this test run's own, in a folder as private as mkdtemp makes it or in a container."""
    if servers == "container":
        contained = ContainerPostgres()
        contained.start()
        yield contained
        contained.remove()
        return
    folder = Path(tempfile.mkdtemp(prefix="presage-test-"))
    server = EmbeddedPostgres(with_cluster(folder / "postgres"))
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_dsn(postgres: EmbeddedPostgres | ContainerPostgres) -> str:
    """Where the server listens; its database ``presage`` is shared by the tests of the run."""
    return postgres.dsn


@pytest_asyncio.fixture
async def empty_database(postgres: EmbeddedPostgres | ContainerPostgres) -> AsyncIterator[str]:
    """The address of a database of this test's own, dropped afterwards."""
    dsn = postgres.start()
    name = f"test_{uuid.uuid4().hex}"
    await _administer(dsn, f"CREATE DATABASE {name}")
    yield re.sub(r"/presage(?=\?|$)", f"/{name}", dsn)
    await _administer(postgres.start(), f"DROP DATABASE {name} WITH (FORCE)")


async def _administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
