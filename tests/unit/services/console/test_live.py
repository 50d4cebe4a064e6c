"""What pages, REST and socket say is one thing: changes added to a snapshot are the snapshot of later."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console import live
from services.console.accounts import Role
from services.console.limits import INBOUND_BYTES_MAX, QUEUE_FRAMES_MAX
from services.console.live import Client
from services.console.service import Console
from services.console.socket import tables_of
from services.console.tables import TABLES
from tests.support.console_world import PASSWORD, browser, console_over, log_in, records, session
from tests.support.view_session import pending, rejection

NUMBER_MAX = 2**53 - 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


def follow(client: Client, known: dict[str, Any]) -> None:
    """Do as a browser does with the frames that wait."""
    while not client.queue.empty():
        frame = json.loads(client.queue.get_nowait())
        assert frame["n"] == (0 if frame["type"] == "snapshot" else known["n"] + 1)
        known["n"] = frame["n"]
        for name, change in frame["tables"].items():
            rows = {} if frame["type"] == "snapshot" else known["tables"][name]
            rows = rows | change.get("rows", {})
            keys = change.get("keys", list(rows))
            known["tables"][name] = {key: rows[key] for key in keys}


@given(cuts=st.lists(st.integers(0, 80), max_size=6), extra=st.booleans())
def test_a_snapshot_and_its_changes_are_the_snapshot_of_later(folder: Path, cuts: list[int], extra: bool):
    console = console_over(folder, [])
    messages = [*session(), *([pending("t7-99-0", 60), rejection()] if extra else [])]
    client, late = Client(TABLES), Client(TABLES)
    console.live.clients.add(client)
    known: dict[str, Any] = {"tables": {}, "n": 0}
    for place, (record, message) in enumerate(records(messages)):
        if place in cuts:
            console.live.step(float(place))
            follow(client, known)
        console.now.fold.on(record, message)
    console.live.step(100.0)
    console.live.clients.add(late)
    console.live.step(200.0)
    follow(client, known)
    fresh: dict[str, Any] = {"tables": {}, "n": 0}
    follow(late, fresh)
    assert known["tables"] == fresh["tables"]
    assert list(known["tables"]["orders"]) == list(fresh["tables"]["orders"])


def test_the_socket_and_rest_say_the_same(folder: Path):
    console = console_over(folder, session())
    console.accounts.set_password("operator", PASSWORD, Role.OPERATOR)
    client = Client(TABLES)
    console.live.clients.add(client)
    console.live.step(1.0)
    told = json.loads(client.queue.get_nowait())["tables"]

    async def ask() -> dict[str, Any]:
        async with browser(console) as reader:
            await log_in(reader)
            return (await reader.get("/api/v1/state")).json()["tables"]

    assert asyncio.run(ask()) == told


def test_a_browser_that_does_not_keep_up_begins_again(folder: Path):
    console = console_over(folder, session())
    slow = Client(("status", "orders"))
    console.live.clients.add(slow)
    for beat in range(QUEUE_FRAMES_MAX + 2):
        console.live.step(beat * 10.0)
    assert slow.overflows == 1
    console.live.step(10_000.0)
    frames = [json.loads(slow.queue.get_nowait()) for _ in range(slow.queue.qsize())]
    assert frames[-1]["type"] == "snapshot" or frames[0]["type"] == "snapshot"


def test_frames_that_wait_are_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "QUEUE_BYTES_MAX", 10_000)
    slow = Client(("orders",))
    slow.put("x" * 20_000)  # one may wait, however large: a snapshot must arrive
    assert slow.overflows == 0
    slow.put("x")
    assert slow.overflows == 1
    assert slow.needs_snapshot
    assert (slow.queue.qsize(), slow.queue.bytes) == (0, 0)
    for _ in range(3):
        slow.put("x" * 3_000)
    assert slow.overflows == 1
    slow.put("x" * 3_000)
    assert slow.overflows == 2


@pytest.mark.parametrize(
    "event",
    [
        {"type": "websocket.receive", "bytes": b'{"tables": []}'},
        {"type": "websocket.receive", "text": None, "bytes": b"x"},
        {"type": "websocket.receive", "text": "[" * INBOUND_BYTES_MAX},
        {"type": "websocket.receive", "text": '{"tables":' * 100},
        {"type": "websocket.receive", "text": '{"tables": [1]}'},
        {"type": "websocket.receive", "text": "x" * (INBOUND_BYTES_MAX + 1)},
    ],
)
def test_a_first_word_that_is_none_is_refused(event: dict[str, Any]):
    with pytest.raises(ValueError, match=r"expected|Expecting"):
        tables_of(event)


def test_no_answer_has_a_number_that_a_browser_rounds(folder: Path):
    console: Console = console_over(folder, session())
    console.accounts.set_password("operator", PASSWORD, Role.OPERATOR)
    names = ("status", "state", "account", "positions", "orders", "fills", "trades", "decisions", "alerts", "markets",
             "config", "performance")  # fmt: skip

    def check(value: Any, where: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                check(item, f"{where}.{key}")
        elif isinstance(value, list):
            for item in value:
                check(item, where)
        elif isinstance(value, int) and not isinstance(value, bool):
            assert abs(value) <= NUMBER_MAX, where
        else:
            assert not isinstance(value, float), where

    async def ask() -> None:
        async with browser(console) as reader:
            await log_in(reader)
            for name in names:
                answer = await reader.get(f"/api/v1/{name}")
                assert answer.status_code == 200, (name, answer.text)
                assert "NaN" not in answer.text
                check(answer.json(), name)

    asyncio.run(ask())


def test_pages_of_a_list_are_the_list(folder: Path):
    console = console_over(folder, session())
    console.accounts.set_password("operator", PASSWORD, Role.OPERATOR)

    async def ask() -> None:
        async with browser(console) as reader:
            await log_in(reader)
            whole = (await reader.get("/api/v1/orders")).json()["items"]
            assert len(whole) >= 3
            found: list[Any] = []
            cursor: str | None = ""
            while cursor is not None:
                page = (await reader.get("/api/v1/orders", params={"count": 1, "cursor": cursor})).json()
                found += page["items"]
                cursor = page["next"]
            assert found == whole
            lines = (await reader.get("/api/v1/orders", params={"format": "jsonl"})).text.splitlines()
            assert [json.loads(line) for line in lines] == whole
            for wrong in (
                {"count": "1_0"},
                {"count": 0},
                {"count": 501},
                {"cursor": "-1"},
                {"format": "csv"},
            ):
                answer = await reader.get("/api/v1/orders", params=wrong)
                assert answer.status_code == 422, wrong
                assert answer.headers["content-type"] == "application/problem+json"

    asyncio.run(ask())


def test_a_halt_while_the_broker_is_gone_leaves_the_file(folder: Path):
    console = console_over(folder, session())
    console.accounts.set_password("operator", PASSWORD, Role.OPERATOR)

    async def ask() -> None:
        async with browser(console) as reader:
            await log_in(reader)
            answer = await reader.post("/api/v1/commands", json={"verb": "halt", "reason": "smoke"})
            assert answer.status_code == 200, answer.text
            outcome = answer.json()
            assert outcome["done"]
            assert "HALT file" in outcome["text"]
            assert console.now.layout.halt_file.read_text() == "console: operator: smoke"
            page = (await reader.get("/")).text
            assert "Halted" in page

    asyncio.run(ask())
    console.now.layout.halt_file.unlink()
