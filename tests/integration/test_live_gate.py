"""Real money waits for paper trades that were made in real time, by the same strategies."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contract.codec import encode
from libs.tape.record import TapeRecord
from proto.feed import Side
from proto.message import Message
from proto.operator import ClockOwner, Mode, Prices, Session
from proto.units import ONE, SECOND
from proto.venue import Fill, Settlement
from services.journal.writer import JournalWriter
from tests.support.journal_tape import BEGAN_NS, TAPE, record
from tools.live.gate import LEFT_OUT, PAPER_TRADES_MIN, closed_paper_trades, confirmation, too_few
from tools.system.options import MarketSource, Options

HOUR_NS = 3_600 * SECOND


def fill(number: int, side: Side, quantity: int, **changes: object) -> Fill:
    given: dict[str, object] = {
        "fill_id": f"fill:paper:{number}",
        "order": f"{TAPE}-{number}-0",
        "market": "kalshi:M",
        "instrument": "kalshi:M:yes",
        "strategy": "momentum",
        "side": side,
        "price": 450_000,
        "quantity": quantity * ONE,
        "fee": 0,
        "at": BEGAN_NS,
    }
    return Fill(**(given | changes))


def session(prices: Prices, mode: Mode = Mode.REALTIME) -> Session:
    return Session(
        tape=TAPE,
        mode=mode,
        clock_owner=ClockOwner.MONITOR if mode is Mode.REALTIME else ClockOwner.FEED,
        started_at=BEGAN_NS,
        nonce="n",
        expires_at=BEGAN_NS,
        prices=prices,
    )


def settlement(market: str) -> Settlement:
    return Settlement(settlement_id="s", market=market, instrument=f"{market}:yes", price=ONE, at=BEGAN_NS)


async def count(dsn: str, path: Path, messages: Sequence[Message]) -> dict[str, Counter[str]]:
    writer = JournalWriter(dsn, TAPE, path / "anchors.jsonl")
    records: list[TapeRecord] = [record(seq, message) for seq, message in enumerate(messages, 1)]
    await writer.append(records)
    await writer.close()
    return await closed_paper_trades(dsn)


@pytest.mark.asyncio
async def test_positions_that_were_left_count_once(empty_database: str, tmp_path: Path):
    buy, sell = Side.BUY, Side.SELL
    played = BEGAN_NS - 24 * HOUR_NS
    closed = await count(
        empty_database,
        tmp_path,
        [
            session(Prices.REAL),
            fill(1, buy, 4),
            fill(2, sell, 1),
            fill(3, sell, 3),  # one
            fill(3, sell, 3),  # told again
            fill(4, buy, 2),
            fill(5, sell, 2),  # two
            fill(6, buy, 2),  # still held
            fill(7, buy, 2, instrument="kalshi:N:yes", market="kalshi:N"),
            settlement("kalshi:N"),  # three
            fill(8, buy, 1, strategy="mine"),
            fill(9, sell, 1, strategy="mine"),  # one of another strategy
            fill(10, buy, 1, fill_id="fill:kalshi:1", strategy="real"),
            fill(11, sell, 1, fill_id="fill:kalshi:2", strategy="real"),
            fill(12, buy, 1, strategy="played", at=played),
            fill(13, sell, 1, strategy="played", at=played),
        ],
    )
    assert closed == {"momentum": {"real": 3}, "mine": {"real": 1}, "played": {"late": 1}}


@pytest.mark.asyncio
async def test_only_trades_on_real_prices_count(empty_database: str, tmp_path: Path):
    buy, sell = Side.BUY, Side.SELL
    old = session(Prices.UNKNOWN)
    assert b"prices" not in encode(old), "expected it to be what was written before prices were told"
    numbers = iter(range(1, 100))

    def trade(**changes: object) -> list[Message]:
        return [fill(next(numbers), side, 1, **changes) for side in (buy, sell)]

    held = {"instrument": "kalshi:N:yes", "market": "kalshi:N"}
    closed = await count(
        empty_database,
        tmp_path,
        [
            *trade(),  # before any session: nobody can say
            old,
            *trade(),
            session(Prices.SANDBOX),
            *trade(),
            *trade(),
            fill(next(numbers), buy, 1),  # opened at the sandbox …
            session(Prices.REAL),
            fill(next(numbers), sell, 1),  # … and left on real prices
            *trade(),
            fill(next(numbers), buy, 1, **held),
            session(Prices.SYNTHETIC),
            *trade(),
            session(Prices.RECORDING, Mode.PLAYBACK),
            *trade(),
            session(Prices.REAL, Mode.PLAYBACK),
            *trade(),
            settlement("kalshi:N"),  # of what was bought on real prices
        ],
    )
    assert closed == {
        "momentum": {"real": 2, "sandbox": 3, "synthetic": 1, "recording": 2, "unknown": 2},
    }
    assert await views(empty_database) == [
        "unknown",
        "sandbox",
        "real",
        "synthetic",
        "recording",
        "recording",
    ]
    [told] = too_few(closed, ["momentum"])
    assert told == (
        "momentum: expected at least 30 closed paper trades on real prices, was 2 (left out: 3 at the sandbox,"
        " 1 on synthetic prices, 2 on recordings, 2 in sessions that do not say where their prices came from)"
    )


async def views(dsn: str) -> list[str]:
    """What the view of sessions says of their prices."""
    connection = await asyncpg.connect(dsn)
    try:
        return [r["prices"] for r in await connection.fetch("SELECT * FROM journal.session ORDER BY seq")]
    finally:
        await connection.close()


@pytest.mark.asyncio
async def test_a_database_without_a_journal_has_no_trades(empty_database: str):
    assert await closed_paper_trades(empty_database) == {}


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.dictionaries(st.sampled_from([Prices.REAL, *LEFT_OUT]), st.integers(0, 60)),
    )
)
def test_every_strategy_needs_its_own(closed: dict[str, dict[str, int]]):
    missing = too_few(closed, ["a", "b"])
    assert [line[0] for line in missing] == [
        s for s in "ab" if closed.get(s, {}).get(Prices.REAL, 0) < PAPER_TRADES_MIN
    ]


def test_every_origin_of_a_trade_that_does_not_count_has_words():
    assert {*Prices} - {Prices.REAL} <= LEFT_OUT.keys()


@pytest.mark.parametrize(
    ("changes", "prices"),
    [
        ({"market": MarketSource.REAL}, Prices.REAL),
        ({"market": MarketSource.SANDBOX}, Prices.SANDBOX),
        ({"market": MarketSource.SANDBOX, "live": ["kalshi"]}, Prices.SANDBOX),
        ({}, Prices.SYNTHETIC),
        ({"sockets": ["ws://127.0.0.1:1"]}, Prices.UNKNOWN),
        ({"recordings": [Path("r")], "market": MarketSource.REAL}, Prices.RECORDING),
    ],
)
def test_a_session_says_where_its_prices_come_from(changes: dict[str, Any], prices: Prices):
    assert Options(Path("state"), **changes).prices is prices


def test_what_must_be_typed_names_every_venue():
    assert confirmation(["polymarket", "kalshi"]) == "live kalshi polymarket"
