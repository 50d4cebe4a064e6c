"""Which questions have left: written before a request does, so that no crash makes anybody pay twice.

One line a question, appended and handed to the operating system before the request. A killed process loses nothing of
it; a machine that loses its power may lose the newest lines, and with them at most the questions of that second.
"""

import os
from pathlib import Path

from libs.runtime.layout import OWNER_ONLY, write_atomically

KEPT = 5_000
"""Questions remembered across starts: hundreds of rounds, and a question is open for minutes."""


class AskedLog:
    """The file ``STATE/advisor/asked.log``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True, mode=OWNER_ONLY)
        self._known: set[str] = set()
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        kept = lines[-KEPT:]
        self._known.update(kept)
        if len(lines) > KEPT:
            write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # A process that was killed within a line leaves one that has no end: the next must not grow into it.
        os.write(self._file, b"\n")

    def __contains__(self, question: str) -> bool:
        return question in self._known

    def add(self, question: str) -> None:
        """Remember that a question leaves now. Raises OSError when it cannot be written: then it must not leave."""
        os.write(self._file, f"{question}\n".encode())
        self._known.add(question)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
