"""A tape at a broker elsewhere: read without its state directory, with its address and the public keys alone.

Who asks logs in as the viewer, which may read and nothing else. Its password comes from a file of that name in
``PRESAGE_NATS_CREDENTIALS``, or from the address (``nats://viewer:PASSWORD@host:4222``), where other users of the
machine can see it; a broker that asks for none needs none.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from libs.archive.archive import Archive
from libs.archive.history import History
from libs.config.environment import Environment
from libs.contract.codec import Unreadable, decode
from libs.runtime.layout import RunFile
from libs.tape.connection import open_link
from libs.tape.credentials import VIEWER
from proto.message import Message
from proto.operator import Config, Session
from tools.exit_codes import NothingDone, UsageError

PATIENCE_S = 5.0
"""A broker that is named runs already, or does not."""
SIGNAL = "signal."
_ADDRESS = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?(?P<place>[^@/]+)/?"
)
SCHEMES = ("nats", "tls")


@dataclass(frozen=True)
class RemoteTape:
    """A tape that is named: ``url`` of its broker (or several, with commas), its archive's folder if there is one."""

    url: str
    archive: Path | None = None
    keys: Path | None = None
    strategies: Sequence[str] = ()


@dataclass(frozen=True)
class Login:
    """Where to connect and as whom; the password is shown nowhere."""

    url: str
    user: str
    password: str = field(repr=False)


def login_of(url: str) -> Login:
    """Take an address apart. Addresses of one cluster are separated by commas; the first one's user counts.

    Raises:
        UsageError: it is none.
    """
    user = password = ""
    places: list[str] = []
    for address in url.split(","):
        found = _ADDRESS.fullmatch(address.strip())
        if found is None or found["scheme"] not in SCHEMES:
            raise UsageError("expected an address such as nats://host:4222, was another text")
        if not places:
            user, password = unquote(found["user"] or ""), unquote(found["password"] or "")
        places.append(f"{found['scheme']}://{found['place']}")
    user = user or VIEWER
    folder = Environment.read().nats_credentials
    if not password and folder is not None:
        password = (folder / user).read_text().strip()
    return Login(",".join(places), user, password)


@dataclass(frozen=True)
class RemoteLayout:
    """What a replay has to know of such a tape."""

    root: Path
    public_keys: Path
    run: RunFile

    def read_run(self) -> RunFile:
        """Tape id and strategies, as the tape says."""
        return self.run


@dataclass(frozen=True)
class RemotePlace:
    """Such a tape as ``tools.offline.place.ReplayPlace``."""

    layout: RemoteLayout


@asynccontextmanager
async def remote_history(remote: RemoteTape) -> AsyncIterator[History]:
    """The tape, for reading.

    Raises:
        BrokerUnavailable: no broker there lets us in.
        UsageError: the address is none, or the archive's folder is not there.
    """
    login = login_of(remote.url)
    if remote.archive is not None and not remote.archive.is_dir():
        raise UsageError(f"expected a folder of segments, was {remote.archive}")
    with TemporaryDirectory(prefix="presage-") as nothing:
        link = await open_link(login.url, login.user, login.password, patience_s=PATIENCE_S)
        try:
            yield History(link, Archive(remote.archive or Path(nothing)))
        finally:
            await link.close()


@asynccontextmanager
async def remote_access(remote: RemoteTape) -> AsyncIterator[tuple[RemotePlace, History]]:
    """The tape, and what a replay has to know of it.

    Raises:
        NothingDone: no session was opened on it.
        UsageError: no file of public keys was named.
    """
    if remote.keys is None:
        raise UsageError("expected --keys FILE with the public keys (STATE/keys/public.json), was none")
    if not remote.keys.is_file():
        raise UsageError(f"expected a file of public keys, was {remote.keys}")
    async with remote_history(remote) as history:
        run = await _run_of(history, remote)
        # Machines' snapshots are where they run: here every machine is folded from where the tape begins.
        with TemporaryDirectory(prefix="presage-") as root:
            yield RemotePlace(RemoteLayout(Path(root), remote.keys, run)), history


async def _run_of(history: History, remote: RemoteTape) -> RunFile:
    """Tape id and strategies of the newest session.

    What is signed is not verified here, but by the gates of the replay: a session that nobody signed can make it
    report differences, and none can make it overlook one.
    """
    tape, strategies = "", list(remote.strategies)
    configured: dict[str, None] = {}
    for message in await _operator_messages(history):
        if isinstance(message, Session):
            tape, configured = message.tape, {}
        elif isinstance(message, Config) and message.section.startswith(SIGNAL):
            configured[message.section.removeprefix(SIGNAL)] = None
    if not tape:
        raise NothingDone("expected a tape on which a session was opened, was none")
    return RunFile(broker_url="", tape=tape, strategies=strategies or list(configured))


async def _operator_messages(history: History) -> list[Message]:
    found: list[Message] = []
    for record in await history.read_subjects([f"{Config.kind}.>", Session.kind]):
        try:
            found.append(decode(record.subject, record.payload))
        except Unreadable:
            continue
    return found
