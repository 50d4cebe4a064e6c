"""How a passphrase reaches the one process that opens keys: by an inherited pipe, never by its environment.

``PRESAGE_PASSPHRASE_FILE`` names a file that the platform mounts; otherwise ``presage up`` asks for it at the
terminal and hands it to execution through a pipe whose number is in ``PRESAGE_PASSPHRASE_FD``.
"""

import os

from libs.config.environment import ChildEnvironment, Environment, variable
from libs.keys.venues.errors import TooOpen

FILE_VARIABLE = variable("passphrase_file")
DESCRIPTOR_VARIABLE = variable("passphrase_fd")
PASSPHRASE_BYTES_MAX = 4_096
"""Fits into a pipe's buffer, so writing it never waits for a reader."""


def from_file() -> str | None:
    """The passphrase in the mounted file, without its line end; ``None`` when none is named.

    Raises:
        OSError: when it cannot be read.
        TooOpen: others may read it too.
    """
    path = Environment.read().passphrase_file
    if path is None:
        return None
    found = path.stat()
    # What a platform mounts belongs to root and lets a group read; nobody here can change that.
    shared = 0o077 if found.st_uid == os.getuid() else 0o007
    if found.st_mode & shared:
        raise TooOpen(f"expected {path} to be readable by its owner alone; chmod 600 mends it")
    return path.read_text().rstrip("\r\n")


def inherited() -> str | None:
    """The passphrase from the supervisor's pipe, read once; or from the file; or ``None``."""
    number = ChildEnvironment.read().passphrase_fd
    if number is None:
        return from_file()
    del os.environ[DESCRIPTOR_VARIABLE]
    with os.fdopen(number, "rb") as pipe:
        return pipe.read(PASSPHRASE_BYTES_MAX).decode() or None


def hand_over(passphrase: str) -> int:
    """A descriptor to be inherited, from which the passphrase can be read once. The caller closes it.

    Raises:
        ValueError: for a passphrase longer than a pipe takes at once.
    """
    content = passphrase.encode()
    if len(content) > PASSPHRASE_BYTES_MAX:
        raise ValueError(f"expected at most {PASSPHRASE_BYTES_MAX} bytes of passphrase, was {len(content)}")
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
    finally:
        os.close(writing)
    return reading
