"""Keys of a terminal, one by one, without an Enter and without waiting; Ctrl-C stays a signal."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tools.view.keys import BEFORE, DOWN, ENTER, ERASE, ESCAPE, NEXT, PAGE_DOWN, PAGE_UP, UP

READ_BYTES_MAX = 1_024
"""Of one read: whoever pastes a book into the view presses nothing that counts."""
SEQUENCES = {
    b"\x1b[A": UP,
    b"\x1b[B": DOWN,
    b"\x1b[C": NEXT,
    b"\x1b[D": BEFORE,
    b"\x1bOA": UP,
    b"\x1bOB": DOWN,
    b"\x1bOC": NEXT,
    b"\x1bOD": BEFORE,
    b"\x1b[5~": PAGE_UP,
    b"\x1b[6~": PAGE_DOWN,
}
_NAMED = {"\r": ENTER, "\n": ENTER, "\x7f": ERASE, "\x08": ERASE, "\x1b": ESCAPE}


def keys_of(data: bytes) -> list[str]:
    """The keys that some bytes of a terminal are; a sequence that is none of ours is no key."""
    found: list[str] = []
    while data:
        sequence = next((name for name in SEQUENCES if data.startswith(name)), None)
        if sequence is not None:
            found.append(SEQUENCES[sequence])
            data = data[len(sequence) :]
        elif data.startswith((b"\x1b[", b"\x1bO")):
            data = data[_length_of_sequence(data) :]
        else:
            size = _length_of_character(data[0])
            text = data[:size].decode(errors="ignore")
            found += [_NAMED.get(text, text)] if text else []
            data = data[size:]
    return found


def _length_of_sequence(data: bytes) -> int:
    """Up to the byte that ends it."""
    return next((index + 1 for index in range(2, len(data)) if 0x40 <= data[index] <= 0x7E), len(data))


def _length_of_character(first: int) -> int:
    """Of UTF-8, by its first byte."""
    return 4 if first >= 0xF0 else 3 if first >= 0xE0 else 2 if first >= 0xC0 else 1


class PressedKeys:
    """While it is entered, each key goes to ``press``; where there is no terminal to type on, nothing happens."""

    def __init__(self, press: Callable[[str], None]) -> None:
        self._press = press
        self._before: list[Any] | None = None
        self._number = -1

    @property
    def are_read(self) -> bool:
        """Whether there is somebody who can press."""
        return self._before is not None

    def __enter__(self) -> Self:
        if not sys.stdin.isatty():
            return self
        self._number = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._number)
        tty.setcbreak(self._number, termios.TCSANOW)
        asyncio.get_running_loop().add_reader(self._number, self._read)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None:
            return
        asyncio.get_running_loop().remove_reader(self._number)
        termios.tcsetattr(self._number, termios.TCSANOW, self._before)
        self._before = None

    def _read(self) -> None:
        try:
            data = os.read(self._number, READ_BYTES_MAX)
        except OSError:
            data = b""
        if not data:
            # The terminal is gone; that its reader would be called again and again helps nobody.
            asyncio.get_running_loop().remove_reader(self._number)
        for key in keys_of(data):
            self._press(key)
