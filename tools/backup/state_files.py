"""The small files of a state directory that a backup holds, in one archive file; what it leaves out has a reason."""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from libs.bounded import clip
from libs.keys.venues.store import ENCRYPTED
from libs.runtime.layout import OWNER_ONLY
from proto.subjects import MACHINE_ORDER
from tools.backup.manifest import NAME_CHARACTERS_MAX, BackupDamaged
from tools.system.installation import Installation
from tools.system.shares import HOST_OF

KEPT = (
    "money",
    "tape.json",
    "run.json",
    "HALT",
    "snapshots",
    "claims",
    "journal",
    "keys",
    "advisor",
    "sandbox",
    "feed.json",
    "feed-markets.json",
    "synthetic.json",
    "overrides.yaml",
    "origins.json",
)
"""Names in a state directory that are copied."""
LEFT_OUT = {
    "broker": "tape and ledger are copied as streams; passwords are made anew",
    "postgres": "the journal is copied as tables",
    "archive": "copied segment by segment",
    "logs": "of no use elsewhere",
    "frames": "raw frames take more room than all else and are never changed: copy the folder by itself",
    "supervisor.lock": "of the running system",
    "servers.json": "of the running system",
    "session.json": "of the running system",
    "replay.json": "says what a replay of the tape there came to",
    "PAUSED": "of the running system",
    "PAUSED.spare": "of the running system",
    "secrets": "of the servers there; made anew",
    "sandbox-keys": "written anew",
    "notify": "what was told there is not told again by another",
}
"""Names that are not, and why."""
SECRET = ("console.key", "monitor.key", "operator.key", "risk.key")
"""Private keys that are not encrypted: who has a backup must not be able to sign. A restore makes others."""
MEMBERS_MAX = 1_000_000
MEMBER_BYTES_MAX = 1 << 30


def _sources(installation: Installation) -> Iterator[tuple[str, Path]]:
    """Name in a state directory → where it is: with services elsewhere, in the directory of the one that writes it."""
    layout, shares = installation.layout, installation.shares
    for name in KEPT:
        yield name, layout.root / name
    if layout.halt_file.parent != layout.root:
        yield "HALT", layout.halt_file
    if shares is None:
        return
    for machine in MACHINE_ORDER:
        yield f"snapshots/{machine}", shares.of(HOST_OF.get(machine, machine)).root / "snapshots" / machine
    yield "claims", shares.of("execution").claims
    for name in ("feed.json", "feed-markets.json", "synthetic.json"):
        yield name, shares.of("feed").root / name


def save_state(installation: Installation, target: Path) -> list[str]:
    """Write the files into one; the names of keys that were left out because they are not encrypted."""
    left_out: list[str] = []
    seen: set[str] = set()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, place in _sources(installation):
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                member = name if path == place else f"{name}/{path.relative_to(place)}"
                if member in seen or path.suffix == ".new" or path.is_symlink():
                    continue
                try:
                    content = path.read_bytes()
                except (FileNotFoundError, IsADirectoryError):
                    # A snapshot that was replaced meanwhile; or a folder.
                    continue
                if member.startswith("keys/") and not _may_leave(member, content):
                    left_out.append(member)
                    continue
                seen.add(member)
                _add(archive, member, _without_secrets(member, content))
    os.chmod(target, 0o600)
    return left_out


def _may_leave(member: str, content: bytes) -> bool:
    name = Path(member).name
    if member.startswith("keys/notify/"):
        return False
    if member in ("keys/public.json", "keys/retired.json") or name.endswith(".id"):
        return True
    if name in SECRET:
        return False
    # A sealed key or a keystore is a JSON document, an encrypted PEM says so in its first lines.
    return ENCRYPTED in content or (name.endswith(".json") and content.lstrip().startswith(b"{"))


def _without_secrets(member: str, content: bytes) -> bytes:
    if member != "run.json":
        return content
    try:
        run = json.loads(content)
    except ValueError:
        # Cut: the next start writes it anew.
        return b"{}"
    # Addresses of the servers there; the database's has a password in it.
    return json.dumps({**run, "database_url": "", "supervisor_pid": 0}, indent=1).encode()


def _add(archive: tarfile.TarFile, member: str, content: bytes) -> None:
    entry = tarfile.TarInfo(member)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))


def restore_state(source: Path, root: Path) -> None:
    """Write the files into an empty state directory, for its owner alone.

    Raises:
        BackupDamaged: a name in it is none of a state directory.
    """
    with tarfile.open(source) as archive:
        for count, entry in enumerate(archive):
            first = entry.name.partition("/")[0]
            if not entry.isreg() or first not in KEPT or entry.size > MEMBER_BYTES_MAX or count > MEMBERS_MAX:
                raise BackupDamaged(
                    f"expected files of a state directory, was {clip(entry.name, NAME_CHARACTERS_MAX)!r}"
                )
            content = archive.extractfile(entry)
            assert content is not None
            target = (root / entry.name).resolve()
            if not target.is_relative_to(root.resolve()):
                raise BackupDamaged(
                    f"expected files of a state directory, was {clip(entry.name, NAME_CHARACTERS_MAX)!r}"
                )
            target.parent.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.read())
