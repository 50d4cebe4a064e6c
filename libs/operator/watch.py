"""Following the tape and the health reports from outside: for the view, the summary and status."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from nats.aio.msg import Msg

from libs.archive.archive import Archive
from libs.archive.history import HistoryReader
from libs.contract.codec import Unreadable, decode
from libs.tape.connection import Link
from libs.tape.credentials import REPORT
from libs.tape.record import TapeRecord
from libs.tape.reports import BELIEVED_S, read_report
from proto.message import Message

OnMessage = Callable[[TapeRecord, Message], None]
WAIT_S = 0.1


class TapeWatch:
    """Calls ``on_message`` for every readable message of the tape, in order, from ``position`` + 1.

    What the broker's window has dropped comes from the archive, without its prices.
    """

    def __init__(
        self, link: Link, archive: Archive, on_message: OnMessage, position: int = 0, *, rest_s: float = 0.0
    ) -> None:
        self.position = position
        self.unreadable = 0
        self._reader = HistoryReader(link, archive, position, rest_s=rest_s, facts_only=True)
        self._on_message = on_message

    async def read_to(self, seq: int) -> None:
        """Read until ``seq`` has been handled."""
        while self.position < seq:
            await self.step()

    async def step(self) -> None:
        """Handle the next batch, if one comes soon."""
        for record in await self._reader.next_batch(WAIT_S):
            self.position = record.seq
            try:
                message = decode(record.subject, record.payload)
            except Unreadable:
                self.unreadable += 1
                continue
            self._on_message(record, message)
        await asyncio.sleep(0)

    async def follow(self) -> None:
        """Read for ever."""
        while True:
            await self.step()

    async def close(self) -> None:
        """Stop reading."""
        await self._reader.close()


class Reports:
    """The newest health report of each service, and when it came (monotonic seconds)."""

    def __init__(self) -> None:
        self.latest: dict[str, dict[str, Any]] = {}
        self.heard_at_s: dict[str, float] = {}
        self.changed = asyncio.Event()

    async def listen(self, link: Link) -> None:
        """Subscribe to the reports."""
        await link.client.subscribe(f"{REPORT}.>", cb=self._on_report)

    async def _on_report(self, message: Msg) -> None:
        body = read_report(message.subject, message.data)
        if body is not None:
            self.take(body)

    def take(self, body: dict[str, Any]) -> None:
        """Take a report that was read."""
        self.latest[body["service"]] = body
        self.heard_at_s[body["service"]] = monotonic()
        self.changed.set()

    def believed(self, service: str, within_s: float = BELIEVED_S) -> dict[str, Any]:
        """The newest report of a service; empty when it is older than ``within_s``, for then nothing is known."""
        is_recent = monotonic() - self.heard_at_s.get(service, float("-inf")) < within_s
        return self.latest[service] if is_recent else {}

    async def wait_for(
        self, condition: Callable[[dict[str, dict[str, Any]]], bool], patience_s: float
    ) -> bool:
        """Wait until the reports satisfy ``condition``; whether they did in time."""
        deadline = monotonic() + patience_s
        while not condition(self.latest):
            left = deadline - monotonic()
            if left <= 0:
                return False
            self.changed.clear()
            try:
                async with asyncio.timeout(min(left, 1.0)):
                    await self.changed.wait()
            except TimeoutError:
                continue
        return True
