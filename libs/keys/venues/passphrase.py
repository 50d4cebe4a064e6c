"""How a passphrase reaches the one process that opens keys: by an inherited pipe, never by its environment.

``PRESAGE_PASSPHRASE_FILE`` names a file that the platform mounts; otherwise ``presage up`` asks for it at the
terminal and hands it to execution through a pipe whose number is in ``PRESAGE_PASSPHRASE_FD``.
"""

import os
from pathlib import Path

FILE_VARIABLE = "PRESAGE_PASSPHRASE_FILE"
DESCRIPTOR_VARIABLE = "PRESAGE_PASSPHRASE_FD"
PASSPHRASE_BYTES_MAX = 4_096
"""Fits into a pipe's buffer, so writing it never waits for a reader."""


def from_file() -> str | None:
    """The passphrase in the mounted file, without its line end; ``None`` when none is named.

    Raises:
        OSError: when it cannot be read.
    """
    path = os.environ.get(FILE_VARIABLE)
    if not path:
        return None
    return Path(path).read_text().rstrip("\r\n")


def inherited() -> str | None:
    """The passphrase from the supervisor's pipe, read once; or from the file; or ``None``."""
    number = os.environ.pop(DESCRIPTOR_VARIABLE, "")
    if not number:
        return from_file()
    with os.fdopen(int(number), "rb") as pipe:
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
