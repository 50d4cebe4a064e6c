"""A process's own note of the claims that it began: order and nonce, a line each, in a file that stays small.

The file is not synced: it is there for whoever takes over from a killed process, and the page cache survives that.
"""

import logging
import os
from pathlib import Path

from libs.bounded import clip, keep_newest

NONCES_KEPT = 100_000
"""Weeks of orders; older claims are terminal."""
LINES_MAX = 2 * NONCES_KEPT
"""Of the file, some 12 MB: then it is written anew with what is kept, in tens of milliseconds."""

log = logging.getLogger("presage.claims")


class ClaimNotes:
    """Order → nonce, as far as noted. ``kept`` and ``lines_max`` bound memory and file."""

    def __init__(self, file: Path, kept: int = NONCES_KEPT, lines_max: int = LINES_MAX) -> None:
        self._file = file
        self._kept = kept
        self._lines_max = lines_max
        file.parent.mkdir(parents=True, exist_ok=True)
        self._nonces: dict[str, str] = {}
        self._is_torn = False
        self._lines = self._load()
        self._descriptor = self._open()
        if self._is_torn:
            # What comes next stands alone.
            os.write(self._descriptor, b"\n")
        if self._lines > kept:
            self._shorten()

    def _open(self) -> int:
        return os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _load(self) -> int:
        """Read what is kept of the file; how many lines it has."""
        if not self._file.exists():
            return 0
        content = self._file.read_bytes()
        lines = content.splitlines()
        self._is_torn = bool(content) and not content.endswith(b"\n")
        for line in lines[-self._kept :]:
            order, _, nonce = line.decode(errors="replace").partition(" ")
            if nonce:
                self._nonces[order] = nonce
        return len(lines)

    def __contains__(self, order: str) -> bool:
        return order in self._nonces

    def nonce_of(self, order: str) -> str | None:
        """The nonce that is noted for an order."""
        return self._nonces.get(order)

    def add(self, order: str, nonce: str) -> None:
        """Note the nonce of an order that has none.

        Raises:
            OSError: the disk refused it.
        """
        self._write(f"{order} {nonce}\n".encode())
        self._lines += 1
        self._nonces[order] = nonce
        keep_newest(self._nonces, self._kept)
        if self._lines >= self._lines_max:
            self._shorten()

    def _write(self, line: bytes) -> None:
        """Append; what was cut short is ended, so that the next line stands alone."""
        written = os.write(self._descriptor, line)
        if written < len(line):
            os.write(self._descriptor, b"\n")
            raise OSError(f"expected room for {len(line)} bytes of a note, was {written}")

    def _shorten(self) -> None:
        """Write the file anew with what is kept. Without room it stays as it is: a note must not stop an order."""
        new = self._file.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(f"{order} {nonce}\n".encode() for order, nonce in self._nonces.items())
            new.replace(self._file)
            shortened = self._open()
        except OSError as e:
            log.warning("note of claims not shortened", extra={"detail": clip(str(e), 200)})
            self._lines = 0
            return
        os.close(self._descriptor)
        self._descriptor, self._lines = shortened, len(self._nonces)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
