"""What browsers are told: a snapshot, then numbered changes of it, made once for all of them."""

import asyncio
import json
import sys
from collections.abc import Collection, Iterable
from typing import Any

from services.console.cells import SHOWN
from services.console.limits import DELTA_EVERY_S, HEARTBEAT_S, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX
from services.console.surroundings import Surroundings
from services.console.tables import TABLES, Row, status

Shown = dict[str, dict[str, Any]]
"""Key → ``{"row": …, "cells": […]}``."""


def encode(document: Any) -> str:
    """As JSON; never NaN, which no browser reads."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def shown(now: Surroundings, table: str) -> Shown:
    """The rows of a table with the cells that show them."""
    unit = now.unit()
    cells = SHOWN[table].cells
    return {key: {"row": row, "cells": cells(row, unit)} for key, row in TABLES[table](now).items()}


class Waiting(asyncio.Queue[str]):
    """Frames that wait, bounded by their number and by the memory that they take."""

    def __init__(self) -> None:
        self.bytes = 0
        super().__init__(QUEUE_FRAMES_MAX)

    def has_room(self, frame: str) -> bool:
        """Whether a frame may wait too; a single one may, however large."""
        return self.empty() or not (self.full() or self.bytes + sys.getsizeof(frame) > QUEUE_BYTES_MAX)

    def _put(self, item: str) -> None:
        self.bytes += sys.getsizeof(item)
        super()._put(item)

    def _get(self) -> str:
        item = super()._get()
        self.bytes -= sys.getsizeof(item)
        return item


class Client:
    """One open socket: which tables it wants, and the frames that wait for it."""

    def __init__(self, tables: Collection[str]) -> None:
        self.tables = tuple(name for name in TABLES if name in tables)
        self.queue = Waiting()
        self.needs_snapshot = True
        self.number = 0
        self.overflows = 0

    def put(self, frame: str) -> None:
        """Queue a frame; a browser that does not keep up starts again from a snapshot."""
        if self.queue.has_room(frame):
            self.queue.put_nowait(frame)
            return
        while not self.queue.empty():
            self.queue.get_nowait()
        self.needs_snapshot = True
        self.overflows += 1


class Live:
    """Looks five times a second at what the open sockets show, and tells them what has changed."""

    def __init__(self, now: Surroundings) -> None:
        self._now = now
        self._tables: dict[str, Shown] = {}
        self._status: Row = {}
        self.clients: set[Client] = set()
        self.frames = 0
        self._told_at_s = 0.0

    def snapshot(self, tables: Iterable[str]) -> dict[str, Any]:
        """The tables as they are told: keys in their order, rows with cells."""
        return {
            name: {"keys": list(rows), "rows": rows} for name in tables for rows in (shown(self._now, name),)
        }

    async def run(self) -> None:
        """Tell until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(DELTA_EVERY_S)
            if self.clients:
                self.step(loop.time())

    def step(self, at_s: float) -> None:
        """Tell every client what has changed since the last time."""
        wanted = {name for client in self.clients for name in client.tables}
        for gone in set(self._tables) - wanted:
            del self._tables[gone]
        current = status(self._now)
        changes: dict[str, str] = {}
        fresh: dict[str, str] = {}
        needs_snapshot = {name for client in self.clients if client.needs_snapshot for name in client.tables}
        for name in wanted:
            rows = shown(self._now, name)
            before = self._tables.get(name)
            if before is not None and (change := _difference(before, rows)):
                changes[name] = encode(change)
            if before is None or name in needs_snapshot:
                fresh[name] = encode({"keys": list(rows), "rows": rows})
            self._tables[name] = rows
        is_beat = at_s - self._told_at_s >= HEARTBEAT_S
        status_changed = _without_clock(current) != _without_clock(self._status)
        self._status = current
        if is_beat or changes or status_changed:
            self._told_at_s = at_s
        head = encode(current)
        for client in self.clients:
            self._tell(client, head, changes, fresh, must=is_beat or status_changed)

    def _tell(
        self, client: Client, head: str, changes: dict[str, str], fresh: dict[str, str], *, must: bool
    ) -> None:
        is_first = client.needs_snapshot
        source = fresh if is_first else changes
        parts = [f'"{name}":{source[name]}' for name in client.tables if name in source]
        if not parts and not must and not is_first:
            return
        client.needs_snapshot = False
        client.number = 0 if is_first else client.number + 1
        kind = "snapshot" if is_first else "delta"
        frame = f'{{"type":"{kind}","n":{client.number},"status":{head},"tables":{{{",".join(parts)}}}}}'
        client.put(frame)
        self.frames += 1


def _difference(before: Shown, after: Shown) -> dict[str, Any]:
    """What turns one table into another: rows that are new or other, and the keys when their order is another."""
    rows = {key: row for key, row in after.items() if before.get(key) != row}
    change: dict[str, Any] = {"rows": rows} if rows else {}
    if list(before) != list(after):
        change["keys"] = list(after)
    return change


def _without_clock(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("seq", "now", "stored_at")}
