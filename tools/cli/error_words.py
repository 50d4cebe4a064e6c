"""Errors that a user can mend, in words, with their exit codes. Imported only when there is one."""

import errno
import re

import asyncpg

from libs.config.errors import ConfigError
from libs.keys.signing import UnusableKey
from libs.keys.venues.errors import KeyStoreError
from libs.runtime.layout import StateFileError
from libs.tape.errors import TapeError
from services.feed.recording.recording import RecordingError
from services.signal.discovery import StrategyNotFound
from tools.backup.manifest import BackupDamaged
from tools.exit_codes import FAILED, USAGE, NothingDone, UsageError
from tools.system.installation import SystemGone

_OF_USE = (
    UsageError,
    ConfigError,
    RecordingError,
    StrategyNotFound,
    KeyStoreError,
    UnusableKey,
    StateFileError,
)
_OF_WORK = (NothingDone, SystemGone, BackupDamaged)
_OF_SERVERS = (TapeError, RuntimeError, asyncpg.PostgresError, asyncpg.InterfaceError)

_ADDRESS = re.compile(r"\('([^']+)', (\d+)")
_SYSTEM_WORDS = {
    errno.ENOENT: "expected {name} to be there, was no such file or directory",
    errno.EEXIST: "expected {name} not to be there yet, was there already",
    errno.EACCES: "expected to be allowed to use {name}, was not: whose file is it?",
    errno.EPERM: "expected to be allowed to use {name}, was not: whose file is it?",
    errno.EISDIR: "expected {name} to be a file, was a directory",
    errno.ENOTDIR: "expected a directory where {name} is to be, was a file",
    errno.ENOSPC: "expected room on the disk for {name}, was none: make room",
    errno.EROFS: "expected to be able to write {name}, was on a file system that is only for reading",
    errno.EADDRINUSE: "expected {name} to be free, was taken by another program: name another port, or end that one",
    errno.EADDRNOTAVAIL: "expected an address of this machine, was another",
    errno.ECONNREFUSED: "expected a server at that address, was none that listens",
}
"""What the operating system's numbers mean for who runs a command."""


def words_of(error: Exception) -> tuple[str, int] | None:
    """What to tell the user and the exit code; ``None`` for a fault of the program."""
    if isinstance(error, _OF_USE):
        return str(error), USAGE
    if isinstance(error, _OF_WORK):
        return str(error), FAILED
    if isinstance(error, OSError):
        return _of_system(error), FAILED
    if isinstance(error, _OF_SERVERS):
        return f"{type(error).__name__}: {error}", FAILED
    return None


def _of_system(error: OSError) -> str:
    words = _SYSTEM_WORDS.get(error.errno or 0)
    if words is None:
        return f"{type(error).__name__}: {error}"
    # A socket's error has the address in its text alone.
    address = _ADDRESS.search(str(error))
    place = f"{address[1]}:{address[2]}" if address else "it"
    return words.format(name=error.filename2 or error.filename or place)
