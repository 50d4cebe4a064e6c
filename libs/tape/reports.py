"""Health reports on their way: not stored, and one that is lost is followed by the next."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import msgspec
import nats.errors

from libs.tape.connection import Link
from libs.tape.credentials import REPORT

REPORT_EVERY_S = 0.5
"""Whoever watches knows of a change within that time; a few small messages a second cost nothing."""

BELIEVED_S = 5.0
"""How long a report counts. A service that is silent for longer is missing, and what it said last says nothing."""
REPORT_BYTES_MAX = 1 << 20
"""A feed in a flood of dead frames sends some hundred kilobytes."""

log = logging.getLogger("presage.tape")


class _Ledger(msgspec.Struct):
    percent: int = 0
    reach_s: int = 0
    entries: str = ""
    forgotten: list[str] = []


class _Archive(msgspec.Struct):
    percent: int = 0
    lost: int = 0
    detail: str = ""


class _Journal(msgspec.Struct):
    state: str = ""


class _DeadFrame(msgspec.Struct):
    reason: str = ""
    source: str = ""
    excerpt: str = ""


class _Report(msgspec.Struct):
    """What others read of a report; whatever else is in it is for people."""

    service: str
    state: str
    detail: str = ""
    position: int = 0
    backlog: int = 0
    lag: int = 0
    violations: int = 0
    dead: int = 0
    dead_waiting: int = 0
    frames: int = 0
    diverged: bool = False
    dead_frames: list[_DeadFrame] = []
    ledger: _Ledger = msgspec.field(default_factory=_Ledger)
    archive: _Archive = msgspec.field(default_factory=_Archive)
    journal: _Journal = msgspec.field(default_factory=_Journal)
    venues: dict[str, dict[str, Any]] = {}


def read_report(subject: str, data: bytes) -> dict[str, Any] | None:
    """A report as plain data; ``None`` for one that is not as ours are, or that speaks for another service.

    Whoever has a service's credential can say anything here: nothing that reads reports may fail by it.
    """
    if len(data) > REPORT_BYTES_MAX:
        return None
    try:
        found = msgspec.json.decode(data, type=_Report)
        body: dict[str, Any] = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return body if subject == f"{REPORT}.{found.service}" else None


async def send_report(link: Link, service: str, body: Mapping[str, Any]) -> bool:
    """Say how ``service`` is, as plain data; whether the report left."""
    try:
        await link.client.publish(f"{REPORT}.{service}", msgspec.json.encode(body))
    except (nats.errors.Error, OSError):
        log.debug("health report not sent; the next one follows")
        return False
    return True


async def report_for_ever(report: Callable[[], Awaitable[object]]) -> NoReturn:
    """Report at once and twice a second; runs until it is cancelled."""
    while True:
        await report()
        await asyncio.sleep(REPORT_EVERY_S)
