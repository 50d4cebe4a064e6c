"""The operator's views over a small hand-made history, with every number worked out by hand."""

from collections.abc import AsyncIterator
from decimal import Decimal  # noqa: TID251 - what PostgreSQL's numeric comes as
from pathlib import Path
from random import Random

import asyncpg
import pytest
import pytest_asyncio

from libs.portfolio.portfolio import Portfolio
from libs.tape.record import TapeRecord
from proto.execution import Claim, OrderStatus, OrderUpdate, Refusal, RefusalReason
from proto.feed import Side
from proto.message import Message
from proto.monitor import Alert, Severity
from proto.risk import Approval, Check, PortfolioReport, Rejection, RiskState
from proto.signal import Proposal
from proto.units import ONE, SECOND
from proto.venue import Correction, Fill, Settlement
from services.journal.writer import JournalWriter
from tests.support import few_words
from tests.support.journal_tape import BEGAN_NS, MARKET, TAPE, YES, record

pytestmark = pytest.mark.asyncio

NO = f"{MARKET}:no"
HERE = {"market": MARKET, "instrument": YES}
FIRST, SECOND_ORDER, EXIT, FORGED = (f"{TAPE}-{n}-0" for n in (1, 2, 3, 4))
HOUR_NS = 3_600 * SECOND
T0 = BEGAN_NS // HOUR_NS * HOUR_NS


def dec(text: str) -> Decimal:
    return Decimal(text)


def proposal(reason: str) -> Proposal:
    return few_words.proposal(
        **HERE, price=450_000, fair_value=520_000, edge=50_000, strength=700_000, expires_at=T0, reason=reason
    )


def approval(order: str, side: Side, price: int, quantity: int, *, reduce_only: bool = False) -> Approval:
    fields = HERE | {"side": side, "price": price, "quantity": quantity, "reduce_only": reduce_only}
    return few_words.approval(order, **fields, expires_at=T0, proposal=f"{TAPE}:signal:1:0")


def update(order: str, status: OrderStatus, reason: str = "") -> OrderUpdate:
    return few_words.update(order, status, **HERE, reason=reason)


def fill(
    number: int, order: str, side: Side, price: int, quantity: int, fee: int, at: int, instrument: str = YES
) -> Fill:
    fields = {"market": MARKET, "instrument": instrument, "side": side, "price": price, "quantity": quantity}
    return few_words.fill(f"fill:paper:{number}", order, **fields, fee=fee, at=at)


def report(at: int, equity: int) -> PortfolioReport:
    return PortfolioReport(
        digest="d",
        cash=equity - ONE,
        equity=equity,
        realised_profit=-250_000,
        fees=10_000,
        exposure=ONE,
        exposure_limit=50 * ONE,
        positions=1,
        state=RiskState.REDUCED,
        at=at,
    )


def claim(order: str) -> Claim:
    return Claim(
        order=order,
        approval_subject=f"risk.approval.{order}",
        message_id="m",
        payload=b"p",
        signature="s",
        key_id="k",
        client_order_id="c",
        nonce="n",
        claimed_at=T0,
    )


def checks(*names: str) -> tuple[Check, ...]:
    return tuple(Check(name, 200_000, 250_000, passed=False) for name in names)


def rejection(*failed: Check) -> Rejection:
    return Rejection(
        strategy="momentum",
        market=MARKET,
        instrument=YES,
        side=Side.BUY,
        price=450_000,
        proposal="p",
        failed=failed,
    )


# One fill is told twice, one is taken back, the settlement is told twice.
HISTORY: tuple[tuple[int, Message], ...] = (
    (0, proposal("breakout up")),  # 1
    (1, approval(FIRST, Side.BUY, 450_000, 10 * ONE)),  # 2
    (2, update(FIRST, OrderStatus.PENDING_SUBMIT)),
    (3, claim(FIRST)),  # 4
    (4, fill(1, FIRST, Side.BUY, 450_000, 10 * ONE, 180_000, T0 + 60 * SECOND)),
    (5, update(FIRST, OrderStatus.FILLED)),
    (4, fill(1, FIRST, Side.BUY, 450_000, 10 * ONE, 180_000, T0 + 60 * SECOND)),
    (0, proposal("again")),  # 8
    (8, approval(SECOND_ORDER, Side.BUY, 500_000, 4 * ONE)),  # 9
    (9, fill(2, SECOND_ORDER, Side.BUY, 500_000, 4 * ONE, 70_000, T0 + 120 * SECOND)),
    (10, update(SECOND_ORDER, OrderStatus.FILLED)),
    (5, approval(EXIT, Side.SELL, 470_000, 12 * ONE, reduce_only=True)),  # 12
    (12, fill(3, EXIT, Side.SELL, 470_000, 12 * ONE, 100_000, T0 + HOUR_NS + 60 * SECOND)),
    (13, update(EXIT, OrderStatus.FILLED)),
    (0, fill(4, "elsewhere", Side.BUY, 300_000, 5 * ONE, 0, T0 + 90 * SECOND, NO)),
    (0, fill(5, "elsewhere", Side.BUY, 300_000, 5 * ONE, 0, T0 + 91 * SECOND, NO)),
    (0, Correction(correction_id="c1", fill_id="fill:paper:5", order="elsewhere")),
    (0, rejection(*checks("bet_max", "heat"))),
    (0, rejection(*checks("bet_max"), Check("close_s", 60, 30, passed=False))),
    (0, report(T0 + 10 * SECOND, 1_000 * ONE)),
    (0, report(T0 + 59 * SECOND, 1_001 * ONE)),
    (0, report(T0 + 61 * SECOND, 999_500_000)),
    (0, Alert(rule="stuck_order", severity=Severity.WARNING, topic=FIRST, text="stuck")),
    (0, Alert(rule="stuck_order", severity=Severity.WARNING, topic=FIRST, text="over", active=False)),
    (0, Alert(rule="silent_feed", severity=Severity.CRITICAL, topic="kalshi", text="silent for 30 s")),
    (0, approval(FORGED, Side.BUY, 900_000, 99 * ONE)),
    (0, Refusal(order=FORGED, reason=RefusalReason.SIGNATURE)),
    (0, Settlement(settlement_id="s1", market=MARKET, instrument=YES, price=ONE, at=T0 + 2 * HOUR_NS)),
    (0, Settlement(settlement_id="s2", market=MARKET, instrument=YES, price=ONE, at=T0 + 3 * HOUR_NS)),
)


def signed(item: TapeRecord) -> TapeRecord:
    return item._replace(headers={**item.headers, "sig": "s", "kid": "k"})


@pytest_asyncio.fixture
async def sql(empty_database: str, tmp_path: Path) -> AsyncIterator[asyncpg.Connection]:
    writer = JournalWriter(empty_database, TAPE, tmp_path / "anchors.jsonl")
    records = [record(seq, message, cause=cause) for seq, (cause, message) in enumerate(HISTORY, 1)]
    records = [
        signed(r) if r.subject.startswith("risk.approval") and FORGED not in r.subject else r for r in records
    ]
    await writer.append(records)
    await writer.close()
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


async def test_orders_show_their_approval_their_cause_and_their_end(sql: asyncpg.Connection) -> None:
    rows = {row["order_id"]: row for row in await sql.fetch("SELECT * FROM journal.orders")}
    assert list(rows) == [FIRST, SECOND_ORDER, EXIT, "elsewhere", FORGED]
    first = rows[FIRST]
    assert (first["status"], first["side"], first["price"], first["quantity"]) == (
        "filled",
        "buy",
        dec("0.45"),
        10,
    )
    assert (first["approval_seq"], first["approval_signed"], first["claim_seq"]) == (2, True, 4)
    assert (first["cause_seq"], first["cause_kind"], first["cause_reason"]) == (
        1,
        "signal.proposal",
        "breakout up",
    )
    assert (first["filled"], first["average_price"], first["fee"]) == (10, dec("0.45"), dec("0.18"))
    assert (rows[EXIT]["reduce_only"], rows[EXIT]["cause_seq"], rows[EXIT]["cause_kind"]) == (
        True,
        5,
        "venue.fill",
    )
    assert (rows[FORGED]["approval_signed"], rows[FORGED]["refused"], rows[FORGED]["filled"]) == (
        False,
        "signature",
        0,
    )
    assert rows["elsewhere"]["approval_seq"] is None


async def test_positions_are_the_sum_of_fills_and_settlements(sql: asyncpg.Connection) -> None:
    rows = {row["instrument"]: row for row in await sql.fetch("SELECT * FROM journal.positions")}
    yes, no = rows[YES], rows[NO]
    # Bought 10 at 0.45 and 4 at 0.50, sold 12 at 0.47, 2 left paid out at 1.
    assert (yes["bought"], yes["sold"], yes["open"]) == (14, 12, 0)
    assert (yes["paid"], yes["received"], yes["fees"]) == (dec("6.5"), dec("5.64"), dec("0.35"))
    assert (yes["settled_at"], yes["payout"]) == (1, 2)
    assert yes["realised_profit"] == dec("1.14")
    # The fill that was taken back does not count.
    assert (no["open"], no["bought"], no["cost"], no["fills"]) == (5, 5, dec("1.5"), 1)
    assert no["settled_at"] is None


def history(seed: int) -> list[Message]:
    """Trades in a few instruments, in and out, also through nothing, and payouts of some; all of one strategy."""
    draw = Random(seed)
    told: list[Message] = []
    for number in range(120):
        name = f"kalshi:M{draw.randrange(4)}"
        told.append(
            Fill(
                fill_id=f"fill:paper:{number}",
                order=f"o{number}",
                market=name,
                instrument=f"{name}:yes",
                strategy="momentum",
                side=draw.choice(list(Side)),
                price=draw.randrange(1, 100) * 10_000 + draw.choice((0, 1, 3_333)),
                quantity=draw.choice((ONE, 10 * ONE, draw.randrange(1, 20 * ONE))),
                fee=draw.randrange(20_000),
                at=T0 + number * SECOND,
            )
        )
    paid = {"market": "kalshi:M0", "instrument": "kalshi:M0:yes", "price": 333_300, "at": T0 + 200 * SECOND}
    anew = {**paid, "price": 800_000, "at": T0 + 300 * SECOND}
    # Paid, paid anew because the market was, and the first told once more.
    return [
        *told,
        *(Settlement(settlement_id=name, **row) for name, row in (("s", paid), ("t", anew), ("s", paid))),
    ]


async def journal_of(database: str, folder: Path, messages: list[Message]) -> asyncpg.Connection:
    writer = JournalWriter(database, TAPE, folder / "anchors.jsonl")
    await writer.append([record(seq, message) for seq, message in enumerate(messages, 1)])
    await writer.close()
    return await asyncpg.connect(database)


@pytest.mark.parametrize("seed", [1, 2])
async def test_cost_and_profit_are_those_of_the_books(empty_database: str, tmp_path: Path, seed: int) -> None:
    """One cost method, to the millionth, also after a second entry: average cost."""
    messages = history(seed)
    books = Portfolio()
    for message in messages:
        books.apply(message)
    sql = await journal_of(empty_database, tmp_path, messages)
    try:
        rows = await sql.fetch("SELECT * FROM journal.positions")
        hours = await sql.fetchval("SELECT sum(realised_profit) FROM journal.profit_by_strategy_and_hour")
    finally:
        await sql.close()
    folded = {name: p for ledger in books.ledgers.values() for name, p in ledger.positions.items()}
    assert len(rows) == len(folded)
    for row in rows:
        position = folded[row["instrument"]]
        cost, open_ = int(row["cost"] * ONE), int(row["open"] * ONE)
        assert (open_, cost) == (position.quantity, position.cost)
        assert int(row["fees"] * ONE) == position.fees
        assert abs(int(row["realised_profit"] * ONE) - position.realised_profit) <= 1
    assert int(hours * ONE) == books.realised_profit


async def test_equity_is_the_last_report_of_each_minute(sql: asyncpg.Connection) -> None:
    rows = await sql.fetch("SELECT * FROM journal.equity_by_minute")
    assert [row["equity"] for row in rows] == [1_001, dec("999.5")]
    assert [row["minute"].second for row in rows] == [0, 0]
    assert (rows[1]["cash"], rows[1]["realised_profit"], rows[1]["state"]) == (
        dec("998.5"),
        dec("-0.25"),
        "reduced",
    )


async def test_rejections_are_counted_under_every_check_that_failed(sql: asyncpg.Connection) -> None:
    rows = await sql.fetch(
        "SELECT reason, rejections, last_limit, last_value FROM journal.rejections_by_reason"
    )
    assert [tuple(row) for row in rows] == [
        ("bet_max", 2, dec("0.2"), dec("0.25")),
        ("close_s", 1, 60, 30),
        ("heat", 1, dec("0.2"), dec("0.25")),
    ]


async def test_profit_is_booked_in_the_hour_a_contract_is_closed(sql: asyncpg.Connection) -> None:
    rows = await sql.fetch(
        "SELECT extract(epoch FROM hour)::bigint AS hour, fills, closed, realised_profit, fees, profit"
        " FROM journal.profit_by_strategy_and_hour WHERE strategy = 'momentum'"
    )
    hour = T0 // SECOND
    # 14 for 6.50, of which 12 cost 5.571428 and left for 5.64; the other 2 cost the rest and are paid 2.
    assert [tuple(row) for row in rows] == [
        (hour, 3, 0, 0, dec("0.25"), dec("-0.25")),
        (hour + 3_600, 1, 12, dec("0.068572"), dec("0.1"), dec("-0.031428")),
        (hour + 7_200, 0, 2, dec("1.071428"), 0, dec("1.071428")),
    ]
    total = sum(row["profit"] for row in rows)
    yes = await sql.fetchrow(
        "SELECT realised_profit - fees AS profit FROM journal.positions WHERE instrument = $1", YES
    )
    assert yes is not None
    assert total == yes["profit"], "the hours add up to the positions' own result"


async def test_alerts_show_the_last_word_active_ones_first(sql: asyncpg.Connection) -> None:
    rows = await sql.fetch("SELECT active, rule, text FROM journal.latest_alerts")
    assert [tuple(row) for row in rows] == [
        (True, "silent_feed", "silent for 30 s"),
        (False, "stuck_order", "over"),
    ]


async def test_views_are_made_anew_when_their_text_changes(empty_database: str, tmp_path: Path) -> None:
    writer = JournalWriter(empty_database, TAPE, tmp_path / "anchors.jsonl")
    await writer.position()
    await writer.close()
    connection = await asyncpg.connect(empty_database)
    await connection.execute("UPDATE journal.migration SET digest = 'old' WHERE version = 0")
    await connection.execute("CREATE VIEW journal.gone AS SELECT 1 AS one")
    again = JournalWriter(empty_database, TAPE, tmp_path / "anchors.jsonl")
    await again.position()
    await again.close()
    views = {
        row[0] for row in await connection.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'journal'")
    }
    assert "orders" in views
    assert "gone" not in views
    await connection.close()
