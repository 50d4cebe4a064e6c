"""The journal's positions after a round trip and a second entry: what is held is valued at the average of all purchases ever.

Starts a private PostgreSQL in a temporary folder. Run from a Presage checkout. Exit 0 = right.
buy 10 at 0.40, sell 10 at 0.50 (profit 1.00), buy 10 at 0.60: held 10 that cost 6.00.
"""

import asyncio
import shutil
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, ".")
import asyncpg

from libs.database.embedded import EmbeddedPostgres
from libs.portfolio.portfolio import Portfolio
from proto.feed import Side
from proto.units import ONE, SECOND
from proto.venue import Fill
from services.journal.writer import JournalWriter
from tests.support.journal_tape import BEGAN_NS, MARKET, TAPE, YES, record


def fill(n, side, price, quantity, fee=0):
    return Fill(
        fill_id=f"fill:paper:{n}",
        order=f"o{n}",
        market=MARKET,
        instrument=YES,
        strategy="momentum",
        side=side,
        price=price,
        quantity=quantity,
        fee=fee,
        at=BEGAN_NS + n * SECOND,
    )


TRADES = [
    fill(1, Side.BUY, 400_000, 10 * ONE),
    fill(2, Side.SELL, 500_000, 10 * ONE),
    fill(3, Side.BUY, 600_000, 10 * ONE),
]


async def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="presage-case-"))
    server = EmbeddedPostgres(folder / "postgres")
    try:
        dsn = server.start()
        writer = JournalWriter(dsn, TAPE, folder / "anchors.jsonl")
        await writer.append([record(seq, message) for seq, message in enumerate(TRADES, 1)])
        await writer.close()
        sql = await asyncpg.connect(dsn)
        row = await sql.fetchrow("SELECT * FROM journal.positions")
        hour = await sql.fetchrow("SELECT sum(profit) AS profit FROM journal.profit_by_strategy_and_hour")
        await sql.close()
    finally:
        server.stop()
        shutil.rmtree(folder)
    book = Portfolio()
    for trade in TRADES:
        book.apply(trade)
    (held,) = [p for _, _, p in book.open_positions()]
    print(
        "risk's books: realised",
        book.realised_profit / ONE,
        "held",
        held.quantity / ONE,
        "cost",
        held.cost / ONE,
    )
    print(
        "journal.positions: open",
        row["open"],
        "cost",
        row["cost"],
        "profit",
        row["profit"],
        "-> profit + cost =",
        row["profit"] + row["cost"],
    )
    print("journal.profit_by_strategy_and_hour: profit", hour["profit"])
    right = row["cost"] == Decimal(6) and row["profit"] + row["cost"] == Decimal(1)
    print("right" if right else "WRONG: cost should be 6.00, profit + cost 1.00")
    return not right


sys.exit(asyncio.run(main()))
