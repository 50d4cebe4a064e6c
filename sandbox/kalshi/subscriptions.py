"""One connection of the websocket: its commands as structs, its subscriptions and their numbers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from sandbox.sockets import ClientSocket


class CommandParams(Struct):
    """Parameters of any command."""

    channels: list[str] | None = None
    market_ticker: str | None = None
    market_tickers: list[str] | None = None
    sids: list[int] | None = None
    action: str | None = None
    send_initial_snapshot: bool = True
    use_yes_price: bool = False
    index_ids: list[str] | None = None


class SocketCommand(Struct):
    """A command of a client."""

    id: int = 0
    cmd: str = ""
    params: CommandParams = msgspec.field(default_factory=CommandParams)


class CommandRefused(Exception):
    """A command is refused with one of the venue's numbers."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


@dataclass(slots=True)
class Subscription:
    """One channel of a connection. ``tickers`` ``None``: all markets. ``seq`` counts its numbered frames.

    The channel of index values has ids of indices in the place of tickers.
    """

    channel: str
    sid: int
    tickers: set[str] | None
    use_yes_price: bool
    seq: int = 0

    def has_market(self, ticker: str) -> bool:
        return self.tickers is None or ticker in self.tickers

    def frame(self, kind: str, body: dict[str, Any], *, numbered: bool) -> dict[str, Any]:
        """Return a frame of its own."""
        if not numbered:
            return {"type": kind, "sid": self.sid, "msg": body}
        self.seq += 1
        return {"type": kind, "sid": self.sid, "seq": self.seq, "msg": body}


class KalshiSocket(ClientSocket):
    """A connection; its first subscription decides whether it is a market or a user socket for faults."""

    def serve(self, operation: str) -> None:
        """Become a market or a user socket."""
        self._operation = operation


@dataclass(slots=True, eq=False)
class SocketSession:
    """One connection and its subscriptions."""

    owner: str
    socket: KalshiSocket
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    next_sid: int = 1

    def send(self, frame: dict[str, Any]) -> None:
        """Send data, unless a fault loses it."""
        self.socket.send(_text(frame), {"type": str(frame["type"])})

    def reply(self, frame: dict[str, Any]) -> None:
        """Answer a command."""
        self.socket.reply(_text(frame))

    def of(self, channel: str) -> Iterable[Subscription]:
        return [s for s in self.subscriptions.values() if s.channel == channel]


def tickers_of(params: CommandParams) -> list[str] | None:
    """Return the markets a command names; ``None`` for none."""
    if params.market_tickers:
        return list(dict.fromkeys(params.market_tickers))
    return [params.market_ticker] if params.market_ticker else None


def _text(frame: dict[str, Any]) -> str:
    """Return a frame as the venue sends it: it ends with a line break."""
    return msgspec.json.encode(frame).decode() + "\n"
