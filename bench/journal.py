"""Journal: rows a second into the embedded PostgreSQL, hash chain and commits included."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from bench.result import Figure, Tell, rate
from libs.contract.codec import encode
from libs.database.embedded import EmbeddedPostgres
from libs.tape.record import TapeRecord
from proto.execution import OrderStatus, OrderUpdate
from proto.feed import Trade
from proto.message import Message
from proto.units import ONE
from services.journal.writer import JournalWriter

ROWS = 60_000
HANDED_OVER = 2_000
"""Records given to the writer at once, as its reader does."""
RATE_AIM = 100_000
TAPE = "bench"
YES = "kalshi:KXBTC15M-BENCH:yes"
BEGAN_NS = 1_779_000_000 * 1_000_000_000


def _message(seq: int) -> Message:
    """Mostly trades, every fourth an order's update: what a busy tape keeps."""
    if seq % 4:
        return Trade(instrument=YES, at=BEGAN_NS + seq, trade_id=f"t{seq}", price=450_000, quantity=ONE)
    status = OrderStatus.ACCEPTED
    return OrderUpdate(
        order=f"{TAPE}-{seq}-0", status=status, instrument=YES, market=YES[:-4], strategy="momentum"
    )


def _record(seq: int) -> TapeRecord:
    message = _message(seq)
    producer = message.kind.partition(".")[0]
    headers = {"Nats-Msg-Id": f"{TAPE}:{producer}:{seq}:0", "build": "bench", "cause": str(seq), "root": "1"}
    return TapeRecord(seq, message.subject(), headers, encode(message), BEGAN_NS + seq)


async def measure(tell: Tell, _recordings: Sequence[Path]) -> list[Figure]:
    """Append rows in batches as the service does; the count in the database is checked."""
    records = [_record(seq) for seq in range(1, ROWS + 1)]
    with tempfile.TemporaryDirectory() as directory:
        database = EmbeddedPostgres(Path(directory) / "postgres")
        tell("starting PostgreSQL")
        dsn = await asyncio.to_thread(database.start)
        try:
            writer = JournalWriter(dsn, TAPE, Path(directory) / "anchors.jsonl")
            await writer.position()
            tell(f"{ROWS:,} rows")
            began = perf_counter()
            for start in range(0, ROWS, HANDED_OVER):
                await writer.append(records[start : start + HANDED_OVER])
            seconds = perf_counter() - began
            position, written = await writer.position(), writer.rows_written
            await writer.close()
        finally:
            await asyncio.to_thread(database.stop)
    if position != ROWS or written != ROWS:
        raise RuntimeError(f"expected {ROWS} rows, was {written} up to {position}")
    return [rate("journal: rows into PostgreSQL", ROWS, seconds, "rows", RATE_AIM)]
