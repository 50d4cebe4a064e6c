"""Where backups are: a folder, or an object store. A file is there whole or not at all; none is ever changed.

An object store is named by an address (``s3://bucket/prefix``, ``gs://…``, ``az://…``, ``file:///…``) and reached through
the library obstore, which takes credentials from the environment as the store's own tools do (``AWS_ACCESS_KEY_ID`` …).
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from libs.bounded import clip
from tools.exit_codes import UsageError

_ADDRESS = re.compile(r"[a-z0-9]+://.+")
COPY_BYTES = 1 << 20
REASON_CHARACTERS_MAX = 300


class StoreUnavailable(OSError):
    """An object store did not do what it was asked for; the text has its first line."""


class Repository(Protocol):
    """Files by name; names have parts with slashes between them."""

    def put(self, name: str, source: Path) -> None:
        """Store a copy of a file."""

    def fetch(self, name: str, target: Path) -> None:
        """Read a file into one that is not there yet. Raises ``FileNotFoundError`` when there is none."""

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The files whose name begins with ``prefix`` and a slash, with their bytes."""

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens when there is none."""

    def staging(self) -> Any:
        """A folder for files that are about to be stored, as a context manager; gone afterwards."""


def repository_of(place: str) -> Repository:
    """The folder or object store that is named.

    Raises:
        UsageError: it is an address, and the library for it is not installed or does not know it.
    """
    if _ADDRESS.fullmatch(place):
        return ObjectStore(place)
    return Folder(Path(place))


class Folder:
    """A folder of this machine, which only its owner may look into."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def put(self, name: str, source: Path) -> None:
        target = self.root / name
        self._make(target.parent)
        unfinished = target.with_name(f"{target.name}.{os.getpid()}.new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with source.open("rb") as content, os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(content, file, COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)

    def fetch(self, name: str, target: Path) -> None:
        shutil.copyfile(self.root / name, target)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        found = (self.root / prefix).rglob("*")
        files = (path for path in found if path.is_file() and path.suffix != ".new")
        return {str(path.relative_to(self.root)): path.stat().st_size for path in sorted(files)}

    def delete(self, name: str) -> None:
        path = self.root / name
        path.unlink(missing_ok=True)
        if path.parent != self.root and path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()

    @contextmanager
    def staging(self) -> Iterator[Path]:
        self._make(self.root)
        with tempfile.TemporaryDirectory(prefix=".staging-", dir=self.root) as folder:
            yield Path(folder)

    def _make(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)


class ObjectStore:
    """A bucket, or a part of one."""

    def __init__(self, address: str) -> None:
        try:
            import obstore
            from obstore.exceptions import BaseError
            from obstore.store import from_url
        except ImportError as e:
            raise UsageError(
                "expected the library obstore for an object store, was none: pip install obstore"
            ) from e
        self._obstore = obstore
        self._failure = BaseError
        try:
            self._store = from_url(address)
        except (BaseError, ValueError) as e:
            raise UsageError(f"expected an address such as s3://bucket/prefix, was refused: {e}") from e

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except self._failure as e:
            text = clip(str(e).partition("\n")[0], REASON_CHARACTERS_MAX)
            raise StoreUnavailable(f"expected the object store to answer, was: {text}") from e

    def put(self, name: str, source: Path) -> None:
        # Large files go up in parts; the object is there when the last one is.
        with self._said():
            self._obstore.put(self._store, name, source)

    def fetch(self, name: str, target: Path) -> None:
        with self._said(), target.open("xb") as file:
            for chunk in self._obstore.get(self._store, name).stream(min_chunk_size=COPY_BYTES):
                file.write(chunk)

    def sizes(self, prefix: str = "") -> dict[str, int]:
        with self._said():
            batches = self._obstore.list(self._store, prefix or None)
            return {str(entry["path"]): int(entry["size"]) for batch in batches for entry in batch}

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError), self._said():
            self._obstore.delete(self._store, name)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="presage-backup-") as folder:
            yield Path(folder)
