"""A console over a session of the tape that is in memory: its routes, its guard, its files; no broker."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from libs.operator.watch import Reports
from libs.runtime.layout import RunFile, StateLayout
from libs.tape.connection import Link
from libs.tape.record import CAUSE_HEADER, TapeRecord
from proto.message import Message
from proto.monitor import Severity
from proto.units import MILLISECOND, ONE
from services.console.fold import ConsoleFold
from services.console.service import Console
from services.console.surroundings import Surroundings
from services.console.web import app_of
from tests.support.view_session import (
    LATER_YES,
    T0,
    YES,
    alert,
    book,
    bought_and_half_sold,
    clock,
    opening,
    pending,
    rejection,
    report,
    settlement,
    trade,
)

HOST = "127.0.0.1:8700"
ORIGIN = f"http://{HOST}"
PASSWORD = "a password for tests"


def session() -> list[Message]:
    """A session with everything a page shows: prices, an order that waits, fills, a rejection, alerts."""
    return [
        *opening(),
        book(YES, 450_000, 470_000),
        book(LATER_YES, 610_000, 640_000),
        trade(104_300 * ONE),
        clock(1),
        *bought_and_half_sold(),
        rejection(),
        rejection(),
        pending("t7-31-0", 3_600),
        report(990 * ONE, 1_001 * ONE),
        alert("silent_feed", Severity.WARNING),
        alert("stuck_order", Severity.CRITICAL),
        alert("silent_feed", Severity.WARNING, active=False),
        settlement(ONE),
        clock(2),
    ]


def records(messages: Iterable[Message], first: int = 1) -> list[tuple[TapeRecord, Message]]:
    """Messages as the broker would have stored them, each caused by the one before, two milliseconds apart."""
    return [
        (TapeRecord(seq, m.subject(), {CAUSE_HEADER: str(seq - 1)}, b"", T0 + seq * 2 * MILLISECOND), m)
        for seq, m in enumerate(messages, first)
    ]


def console_over(folder: Path, messages: Iterable[Message], money: str = "paper") -> Console:
    """A console that has read these messages."""
    layout = StateLayout(folder)
    layout.prepare()
    fold = ConsoleFold(money)
    for record, message in records(messages):
        fold.on(record, message)
    fold.caught_up = True
    run = RunFile(broker_url="nats://127.0.0.1:1", tape="t7")
    return Console(Surroundings(layout, run, Link("console"), Reports(), fold, "0.1.0"), is_secure=False)


@asynccontextmanager
async def browser(console: Console, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of its routes, behind its guard."""
    transport = httpx.ASGITransport(app=app_of(console, [HOST], is_secure=False))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
        yield client


async def log_in(client: httpx.AsyncClient, user: str = "operator", password: str = PASSWORD) -> str:
    """Log in; the token for commands."""
    answer = await client.post("/api/v1/login", json={"user": user, "password": password})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["csrf"]
    client.headers["x-csrf-token"] = token
    return token
