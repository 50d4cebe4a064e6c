"""What notifications remember over a restart: how far the tape was read, and what waits."""

from pathlib import Path

import msgspec

from libs.files import write_atomically
from libs.runtime.layout import OWNER_ONLY
from services.monitor.notify.channel import ChannelState
from services.monitor.notify.folding import Window


class NotifyState(msgspec.Struct):
    """``position``: the newest message of ``tape`` that was taken. ``daily_on``: the day of the newest summary.

    ``offsets``: channel → the first update of its chats that was not taken yet.
    """

    tape: str = ""
    position: int = 0
    daily_on: str = ""
    fills: int = 0
    alerts: int = 0
    offsets: dict[str, int] = msgspec.field(default_factory=dict)
    windows: dict[str, Window] = msgspec.field(default_factory=dict)
    channels: dict[str, ChannelState] = msgspec.field(default_factory=dict)


class NotifyStore:
    """One file, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"

    def read(self, tape: str) -> tuple[NotifyState, bool]:
        """What was remembered, and whether there was anything; of another tape only what still waits."""
        try:
            state = msgspec.json.decode(self._path.read_bytes(), type=NotifyState)
        except (OSError, msgspec.DecodeError):
            return NotifyState(tape=tape), False
        if state.tape != tape:
            state.tape, state.position = tape, 0
        return state, True

    def write(self, content: bytes) -> None:
        """Remember what ``encode`` made.

        Raises:
            OSError: it is not on the disk.
        """
        self._path.parent.mkdir(exist_ok=True, mode=OWNER_ONLY)
        write_atomically(self._path, content)


def encode(state: NotifyState) -> bytes:
    """The state as it is now."""
    return msgspec.json.encode(state)
