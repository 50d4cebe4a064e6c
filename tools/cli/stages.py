"""What a start or a stop is at, on the terminal, from its first moment."""

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status


class Stages:
    """One line on stderr that says what is going on; nothing where nobody sits at a terminal."""

    def __init__(self) -> None:
        self._status = Status("", console=Console(stderr=True)) if sys.stderr.isatty() else None
        self._shown = False

    def say(self, text: str) -> None:
        """Show what is going on now; the empty text: nothing any more."""
        if not text:
            self.clear()
        elif self._status is not None:
            self._status.update(f"presage: {text}")
            if not self._shown:
                self._status.start()
            self._shown = True

    def clear(self) -> None:
        """Give the terminal back."""
        if self._status is not None and self._shown:
            self._status.stop()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
