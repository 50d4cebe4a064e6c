"""Keys of a terminal: bytes become names, a pseudo-terminal gives them at once, and is left as it was."""

import asyncio
import os
import sys
import termios
from io import TextIOWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.cli.pressed_keys import PressedKeys, keys_of
from tools.view.keys import BEFORE, DOWN, ENTER, ERASE, ESCAPE, NEXT, PAGE_DOWN, PAGE_UP, UP


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"1h/", ["1", "h", "/"]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", [UP, DOWN, NEXT, BEFORE]),
        (b"\x1bOA\x1b[5~\x1b[6~", [UP, PAGE_UP, PAGE_DOWN]),
        (b"\r\n\x7f\x08", [ENTER, ENTER, ERASE, ERASE]),
        (b"\x1b", [ESCAPE]),
        (b"\x1b[15~y", ["y"]),
        (b"\x1b[1;5Ay", ["y"]),
        ("Ṁü".encode(), ["Ṁ", "ü"]),
        (b"\xff\xfe", []),
    ],
)
def test_bytes_become_keys(data: bytes, keys: list[str]):
    assert keys_of(data) == keys


@given(st.binary(max_size=40))
def test_no_bytes_are_too_much(data: bytes):
    assert all(keys_of(data))


def test_a_terminal_gives_each_key_at_once_and_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch):
    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    states: list[bool] = []

    async def look() -> list[str]:
        found: list[str] = []
        came = asyncio.Event()

        def press(key: str) -> None:
            found.append(key)
            came.set()

        with PressedKeys(press) as keys:
            states.append(keys.are_read)
            assert not termios.tcgetattr(theirs)[3] & (termios.ICANON | termios.ECHO)
            assert termios.tcgetattr(theirs)[3] & termios.ISIG
            for text in (b"2", b"\x1b[B"):
                came.clear()
                os.write(ours, text)
                await asyncio.wait_for(came.wait(), 60)
        states.append(keys.are_read)
        return found

    with TextIOWrapper(os.fdopen(theirs, "rb", closefd=False)) as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        assert asyncio.run(look()) == ["2", DOWN]
        assert termios.tcgetattr(theirs) == before
    assert states == [True, False]
    os.close(ours)
    os.close(theirs)


def test_without_a_terminal_nothing_is_read(monkeypatch: pytest.MonkeyPatch):
    reading, writing = os.pipe()

    async def look() -> bool:
        with PressedKeys(lambda _: None) as keys:
            return keys.are_read

    with TextIOWrapper(os.fdopen(reading, "rb")) as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        assert asyncio.run(look()) is False
    os.close(writing)
