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

log = logging.getLogger("presage.tape")


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
