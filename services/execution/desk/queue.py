"""Facts on their way to the tape: in order, and on disk while the broker is away.

Facts may be published twice (a crash between publishing and clearing the file): each counts once by its
natural key, and an order makes no transition twice.
"""

import asyncio
import base64
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from libs.contract.codec import Unreadable, decode, encode
from libs.files import write_atomically
from libs.machine.host_state import Fact

QUEUE_MAX = 10_000
"""Facts waiting: hours of trading without a broker. Beyond it the oldest orders' news would be lost, so
nothing new is sent long before (``CROWDED``)."""
CROWDED = 1_000

Publish = Callable[[Fact], Awaitable[None]]


class FactQueue:
    """Publishes facts one after another; ``file`` holds those that waited when the broker went away."""

    def __init__(self, publish: Publish, file: Path) -> None:
        self._publish = publish
        self._file = file
        self._waiting: deque[Fact] = deque(self._load())
        self._wake = asyncio.Event()
        self._saved = self._clean = bool(self._waiting)
        if self._waiting:
            self._wake.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Fact]:
        return iter(list(self._waiting))

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits that no new order should add to it."""
        return len(self._waiting) > CROWDED

    def put(self, fact: Fact) -> None:
        """Queue a fact; returns at once."""
        if len(self._waiting) < QUEUE_MAX:
            self._waiting.append(fact)
            self._clean = False
            self._wake.set()

    def save(self) -> None:
        """Write what waits to the file: called while the broker is away, and at a stop."""
        if self._clean or not self._waiting:
            return
        lines = [
            json.dumps(
                {
                    "subject": fact.message.subject(),
                    "payload": base64.b64encode(encode(fact.message)).decode(),
                    "cause": fact.cause,
                    "root": fact.root,
                }
            )
            for fact in self._waiting
        ]
        write_atomically(self._file, "".join(f"{line}\n" for line in lines).encode())
        self._saved = self._clean = True

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._wake.wait()
            while self._waiting:
                await self._publish(self._waiting[0])
                self._waiting.popleft()
                self._clean = False
            self._wake.clear()
            if self._saved:
                self._file.unlink(missing_ok=True)
                self._saved = False

    def _load(self) -> list[Fact]:
        if not self._file.exists():
            return []
        facts: list[Fact] = []
        # As bytes: one that is no text costs its own line, and not all of them.
        for line in self._file.read_bytes().splitlines():
            try:
                entry = json.loads(line)
                message = decode(entry["subject"], base64.b64decode(entry["payload"]))
                facts.append(Fact(message, int(entry["cause"]), int(entry["root"])))
            except (ValueError, KeyError, TypeError, Unreadable):
                continue
        return facts
