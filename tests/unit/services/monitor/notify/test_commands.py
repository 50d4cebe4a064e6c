"""What a chat may ask and command, at a server of Telegram's wire on loopback."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from libs.tasks import cancel_all
from proto.monitor import Severity
from proto.units import ONE
from services.monitor.notify.answers import LINES_MAX, Answers
from services.monitor.notify.commands import (
    LISTEN_WAIT_S_MAX,
    QUESTIONS_PER_MINUTE_MAX,
    STALE_S,
    ChatDesk,
    said_in,
)
from services.monitor.notify.telegram import Telegram, TelegramError
from services.monitor.notify.why_process import lines_of
from services.monitor.state import ActiveAlert, MonitorState, OrderRecord, PositionRecord
from tests.support.telegram import TOKEN, TelegramServer
from tests.support.waiting import until

FRIEND, STRANGER = 5, 6


class World:
    """A desk at a server, with answers that a test can hold back."""

    def __init__(self, server: TelegramServer, offset: int = 0) -> None:
        self.server = server
        self.halted: list[str] = []
        self.held = asyncio.Event()
        self.held.set()
        self.asked: list[str] = []
        self.desk = ChatDesk(
            lambda: Telegram(server.url, TOKEN), frozenset({FRIEND}), {"why": self.why}, self.halt, offset
        )

    async def why(self, rest: str) -> str:
        self.asked.append(rest)
        if rest == "broken":
            raise OSError("no process")
        await self.held.wait()
        return f"because {rest}"

    async def halt(self, reason: str) -> str:
        self.halted.append(reason)
        if "broken" in reason:
            raise ValueError(reason)
        return "halted"

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.desk.run())
        try:
            yield self
        finally:
            await cancel_all([task])


@pytest.mark.asyncio
async def test_a_friend_is_answered_and_a_stranger_hears_nothing():
    async with TelegramServer() as server:
        world = World(server)
        server.says(STRANGER, "/halt")
        server.says(STRANGER, "/why 1")
        server.arrives({"edited_message": {"chat": {"id": FRIEND}, "text": "/halt"}})
        server.arrives({"message": {"chat": {"id": FRIEND}, "photo": []}})
        server.says(FRIEND, "/why@presage_bot 2589-0")
        server.says(FRIEND, "/resume")
        async with world.running():
            await until(lambda: len(server.sent) == 2)
        assert world.halted == []
        assert server.sent == [
            (FRIEND, "because 2589-0"),
            (FRIEND, "expected one of /why, /halt; nothing else can be said here"),
        ]
        assert world.desk.offset == 1_007


@pytest.mark.asyncio
async def test_a_halt_waits_for_no_answer():
    async with TelegramServer() as server:
        world = World(server)
        world.held.clear()
        async with world.running():
            server.says(FRIEND, "/why 1")
            await until(lambda: world.asked == ["1"])
            server.says(FRIEND, "/HALT it looks wrong", user=9)
            await until(lambda: server.sent == [(FRIEND, "halted")])
            world.held.set()
            await until(lambda: len(server.sent) == 2)
    assert world.halted == ["telegram: chat 5, user 9: it looks wrong"]


@pytest.mark.asyncio
async def test_a_restart_goes_on_behind_what_was_taken():
    async with TelegramServer() as server:
        taken: list[int] = []
        first = World(server)
        first.desk.on_taken = taken.append
        server.says(FRIEND, "/halt")
        async with first.running():
            await until(lambda: taken == [1_002])
        second = World(server, offset=taken[0])
        server.says(FRIEND, "/why 2")
        async with second.running():
            await until(lambda: second.asked == ["2"])
        assert second.halted == []


@pytest.mark.asyncio
async def test_a_failure_ends_no_other_answer():
    async with TelegramServer() as server:
        world = World(server)
        server.says(FRIEND, "/halt broken")
        async with world.running():
            await until(lambda: len(server.sent) == 1)
            server.says(FRIEND, "/why broken")
            server.says(FRIEND, "/why 1")
            await until(lambda: len(server.sent) == 3)
    assert [text for _, text in server.sent] == [
        "failed: ValueError; presage status says how things stand",
        "failed: OSError; presage status says how things stand",
        "because 1",
    ]
    assert len(world.halted) == 1


@pytest.mark.asyncio
async def test_a_flood_and_what_is_late_are_left_unanswered_but_a_halt_counts():
    async with TelegramServer() as server:
        world = World(server)
        late = {"chat": {"id": FRIEND}, "from": {"id": 9}, "date": int(time.time()) - STALE_S - 60}
        server.arrives({"message": late | {"text": "/why late"}})
        server.arrives({"message": late | {"text": "/halt"}})
        for number in range(QUESTIONS_PER_MINUTE_MAX + 5):
            server.says(FRIEND, f"/why {number}")
        async with world.running():
            await until(lambda: bool(world.halted) and world.desk.offset > 0)
        assert "late" not in world.asked
        assert world.desk.unanswered >= 6
        assert len(world.asked) <= QUESTIONS_PER_MINUTE_MAX


@pytest.mark.asyncio
async def test_a_refusal_of_telegrams_is_waited_for(monkeypatch):
    waited: list[float] = []

    def wait_s(_: ChatDesk, error: TelegramError) -> float:
        waited.append(error.retry_after_s)
        return 0.0

    monkeypatch.setattr(ChatDesk, "_wait_s", wait_s)
    async with TelegramServer() as server:
        world = World(server)
        server.will_answer("getUpdates", 429, parameters={"retry_after": 9})
        server.will_answer("getUpdates", 409, description="Conflict: terminated by other getUpdates request")
        server.says(FRIEND, "/why 1")
        async with world.running():
            await until(lambda: world.asked == ["1"])
    assert waited == [9.0, 0.0]


@pytest.mark.asyncio
async def test_a_halt_is_heard_soon_after_the_line_is_back(monkeypatch):
    waited: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 12:
            enough.set()
            await asyncio.Event().wait()

    def cut() -> Telegram:
        raise OSError("no line")

    async def nothing(_: str) -> str:
        return ""

    monkeypatch.setattr("services.monitor.notify.commands.asyncio.sleep", sleep)
    running = asyncio.create_task(ChatDesk(cut, frozenset({FRIEND}), {}, nothing).run())
    await enough.wait()
    await cancel_all([running])
    assert max(waited) == LISTEN_WAIT_S_MAX


@pytest.mark.parametrize(
    "update",
    [{}, {"message": None}, {"message": {"text": 5}}, {"message": {"chat": {"id": "5"}, "text": "/halt"}}],
)
def test_an_update_that_is_none_says_nothing(update):
    assert said_in(update, frozenset({FRIEND})) is None


# ── answers ──


def answers(state: MonitorState, halted: str = "", **risk) -> Answers:
    reports = {"risk": {"state": "live", "risk_state": "active"} | risk, "exit": {"state": "missing"}}
    return Answers(lambda: state, lambda: reports, lambda: halted, "$")


@pytest.mark.asyncio
async def test_the_status_says_what_presage_status_says():
    state = MonitorState(active={"silent_feed": {"x": ActiveAlert(Severity.WARNING)}})
    account = {"equity": 100 * ONE, "profit": -2 * ONE, "cash": 90 * ONE, "exposure": 10 * ONE}
    assert (await answers(state, **account).status()).splitlines() == [
        "orders: no new orders: exit not live",
        "equity $100.00, profit −$2.00, cash $90.00, exposure $10.00",
        "exit: missing",
        "alert: silent_feed, 1 topic",
    ]
    assert (await answers(state, halted="operator").status()).startswith("orders: halted: operator")


@pytest.mark.asyncio
async def test_positions_and_orders_are_those_that_are_open():
    state = MonitorState(
        positions={f"kalshi:A{n}:yes": PositionRecord("kalshi:A", 2 * ONE) for n in range(LINES_MAX + 2)}
        | {"kalshi:B:yes": PositionRecord("kalshi:B")},
        orders={"t1-5-0": OrderRecord("kalshi:A:yes", "kalshi:A", 0, "partially_filled", filled=ONE)},
    )
    told = (await answers(state).positions()).splitlines()
    assert (told[0], told[-1], len(told)) == ("2 kalshi:A0:yes", "and 2 more", LINES_MAX + 1)
    assert await answers(state).orders() == "5-0 partially filled kalshi:A:yes, 1 filled"
    assert await answers(MonitorState()).positions() == "no open position"
    assert await answers(MonitorState()).orders() == "no order that may trade"


@pytest.mark.asyncio
async def test_the_profit_is_risks_own():
    told = await answers(
        MonitorState(), equity=100 * ONE, profit=3 * ONE, headroom={"daily_loss": 27 * ONE}
    ).profit()
    assert told == "equity $100.00, profit +$3.00\nleft of the day's loss limit: $27.00"
    assert await answers(MonitorState()).profit() == "risk has not reported"


def test_a_chain_is_short_lines_with_its_failed_checks():
    chain = [
        {
            "subject": "signal.proposal.m.x",
            "stored_at": 1_000_000_000,
            "payload": {"side": "buy", "price": 450_000},
        },
        {
            "subject": "risk.rejection.m.x",
            "stored_at": 1_004_000_000,
            "payload": {"failed": [{"name": "heat", "limit": 25 * ONE, "value": 40 * ONE}]},
        },
        {"subject": "feed.quote.x", "stored_at": 1_004_000_000, "payload": None},
    ]
    told = lines_of(chain)
    assert told[0] == "+0 ms signal.proposal: buy, price 0.45"
    assert told[1] == "+4 ms risk.rejection"
    assert "limit $25" in told[2]
    assert told[3] == "+4 ms feed.quote"
