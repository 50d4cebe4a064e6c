"""Real money waits for paper trades that were made in real time, by the same strategies."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.tape.record import TapeRecord
from proto.feed import Side
from proto.message import Message
from proto.units import ONE, SECOND
from proto.venue import Fill, Settlement
from services.journal.writer import JournalWriter
from tests.journal_tape import BEGAN_NS, TAPE, record
from tools.live_gate import PAPER_TRADES_MIN, closed_paper_trades, confirmation, too_few

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


async def count(dsn: str, path: Path, messages: Sequence[Message]) -> dict[str, int]:
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
            fill(1, buy, 4),
            fill(2, sell, 1),
            fill(3, sell, 3),  # one
            fill(3, sell, 3),  # told again
            fill(4, buy, 2),
            fill(5, sell, 2),  # two
            fill(6, buy, 2),  # still held
            fill(7, buy, 2, instrument="kalshi:N:yes", market="kalshi:N"),
            Settlement(
                settlement_id="s", market="kalshi:N", instrument="kalshi:N:yes", price=ONE, at=BEGAN_NS
            ),  # three
            fill(8, buy, 1, strategy="mine"),
            fill(9, sell, 1, strategy="mine"),  # one of another strategy
            fill(10, buy, 1, fill_id="fill:kalshi:1", strategy="real"),
            fill(11, sell, 1, fill_id="fill:kalshi:2", strategy="real"),
            fill(12, buy, 1, strategy="played", at=played),
            fill(13, sell, 1, strategy="played", at=played),
        ],
    )
    assert closed == {"momentum": 3, "mine": 1}


@pytest.mark.asyncio
async def test_a_database_without_a_journal_has_no_trades(empty_database: str):
    assert await closed_paper_trades(empty_database) == {}


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 60)))
def test_every_strategy_needs_its_own(closed: dict[str, int]):
    missing = too_few(closed, ["a", "b"])
    assert [line[0] for line in missing] == [s for s in "ab" if closed.get(s, 0) < PAPER_TRADES_MIN]


def test_what_must_be_typed_names_every_venue():
    assert confirmation(["polymarket", "kalshi"]) == "live kalshi polymarket"
