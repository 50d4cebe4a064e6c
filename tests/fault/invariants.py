"""What must hold of a state directory after any fault: checked on its tape, ledger and journal.

``check`` starts the servers of a stopped state directory, reads everything, and raises an AssertionError that
names the first thing that is wrong. What it returns lets a test make sure that something happened at all.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from libs.contract.codec import Unreadable, decode
from libs.keys.signing import APPROVAL_DOMAIN, Verifier
from libs.portfolio.portfolio import Portfolio
from libs.tape.broker import stream_state
from libs.tape.credentials import ADMIN
from libs.tape.record import KEY_ID_HEADER, SIGNATURE_HEADER, TapeRecord
from proto.execution import TERMINAL, Claim, OrderStatus, OrderUpdate, Unclaimed
from proto.ids import parse_message_id
from proto.message import Message
from proto.risk import Approval
from proto.subjects import LEDGER, MACHINE_ORDER
from proto.units import ONE, SECOND
from proto.venue import Ack, AckStatus, Fill
from services.journal.rows import is_kept
from tools.cli.commands.journal import verify_journal
from tools.cli.commands.replay import ReplayRequest, run_replay
from tools.cli.commands.tape import history_of
from tools.system.installation import tape_access

Decoded = list[tuple[TapeRecord, Message]]


@dataclass
class Findings:
    """What a sound state directory held."""

    records: int
    approvals: int
    claims: int
    fills: int
    unclaimed: int
    repeated: int
    journal_rows: int


async def check(state: Path, *, finished: bool = True, over_filled: bool = False) -> Findings:
    """Check everything; ``finished``: the recordings were played out, so no order may be left in between.

    ``over_filled``: the venue was made to fill more than it was asked for.
    """
    async with tape_access(state, ADMIN) as (installation, link):
        stored = [record async for record in history_of(installation, link).records()]
        ledger_count = int((await stream_state(link.client, LEDGER, timeout_s=60))["messages"])
        verifier = Verifier.load(installation.layout.public_keys)
        dsn = await installation.start_database()
        try:
            journal_rows = await check_journal(dsn, stored)
            decoded = readable(stored)
            await check_positions(dsn, decoded)
        finally:
            installation.database.stop()
    check_no_gap(stored)
    repeated = check_nothing_doubled(stored)
    approvals = verified_approvals(stored, decoded, verifier)
    claims = check_claims(decoded, approvals)
    assert ledger_count == len(claims), f"expected each claim of the ledger on the tape, was {ledger_count}"
    fills = check_fills(decoded, approvals, claims, over_filled=over_filled)
    unclaimed = check_fates(decoded, approvals, claims, finished=finished)
    verification, lines = await verify_journal(state)
    assert verification["sound"], lines
    replayed = await run_replay(ReplayRequest(state))
    assert replayed["identical"], replayed["difference"]
    return Findings(len(stored), len(approvals), len(claims), fills, unclaimed, repeated, journal_rows)


def readable(records: list[TapeRecord]) -> Decoded:
    """The records that decode, with their messages."""
    found: Decoded = []
    for record in records:
        try:
            found.append((record, decode(record.subject, record.payload)))
        except Unreadable:
            continue
    return found


def check_no_gap(records: list[TapeRecord]) -> None:
    """Every sequence once, from the first to the last."""
    sequences = [record.seq for record in records]
    assert sequences == list(range(1, len(records) + 1)), "expected a tape without gaps"


def check_nothing_doubled(records: list[TapeRecord]) -> int:
    """One content for each id, first appearances in order, the feed's counter complete.

    Outputs may be stored twice (readers ignore the second); how often is returned.
    """
    contents: dict[str, tuple[str, bytes]] = {}
    marks: dict[tuple[str, str], tuple[int, int]] = {}
    counters: dict[str, list[int]] = defaultdict(list)
    repeated = 0
    for record in records:
        identity = parse_message_id(record.message_id)
        if identity is None:
            continue
        content = (record.subject, record.payload)
        if record.message_id in contents:
            repeated += 1
            if identity.producer in (*MACHINE_ORDER, "feed"):
                assert contents[record.message_id] == content, f"two contents under {record.message_id}"
            continue
        contents[record.message_id] = content
        place = (identity.cause, identity.index)
        mark = marks.get((identity.tape, identity.producer), (0, -1))
        assert place > mark, f"{record.message_id} at {record.seq} comes after {mark}: readers lose it"
        marks[identity.tape, identity.producer] = place
        if identity.producer == "feed":
            counters[identity.tape].append(identity.cause)
    for tape, counted in counters.items():
        assert counted == list(range(1, len(counted) + 1)), f"feed messages of {tape} lost"
    return repeated


def verified_approvals(
    records: list[TapeRecord], decoded: Decoded, verifier: Verifier
) -> dict[str, Approval]:
    """Approvals that risk signed, by order."""
    assert records
    found: dict[str, Approval] = {}
    for record, message in decoded:
        if not isinstance(message, Approval):
            continue
        if verifier.verify(
            APPROVAL_DOMAIN,
            message.order.partition("-")[0],
            record.subject,
            record.message_id,
            record.payload,
            record.headers.get(SIGNATURE_HEADER, ""),
            record.headers.get(KEY_ID_HEADER, ""),
        ):
            found.setdefault(message.order, message)
    return found


def check_claims(decoded: Decoded, approvals: dict[str, Approval]) -> dict[str, Claim]:
    """Each claim belongs to exactly one signed approval, and no order has two."""
    claims: dict[str, Claim] = {}
    for record, message in decoded:
        if not isinstance(message, Claim):
            continue
        assert message.order not in claims, f"order {message.order} was claimed twice (at {record.seq})"
        assert message.order in approvals, f"order {message.order} was claimed without an approval"
        carried = decode(message.approval_subject, message.payload)
        assert carried == approvals[message.order], f"the claim of {message.order} carries another approval"
        claims[message.order] = message
    return claims


def check_fills(
    decoded: Decoded, approvals: dict[str, Approval], claims: dict[str, Claim], *, over_filled: bool = False
) -> int:
    """Each fill once, only for claimed orders, never more than approved; one acceptance an order."""
    filled: dict[str, int] = defaultdict(int)
    fills: dict[str, str] = {}
    accepted: dict[str, str] = {}
    for record, message in decoded:
        if isinstance(message, Fill):
            if fills.setdefault(message.fill_id, record.message_id) != record.message_id:
                raise AssertionError(f"fill {message.fill_id} was reported under two ids")
            assert message.order in claims, f"order {message.order} was filled without a claim"
        elif isinstance(message, Ack) and message.status is AckStatus.ACCEPTED:
            first = accepted.setdefault(message.order, record.message_id)
            assert first == record.message_id, f"order {message.order} was accepted twice"
    for fill_id, fill in {m.fill_id: m for _, m in decoded if isinstance(m, Fill)}.items():
        filled[fill.order] += fill.quantity
        approved = approvals[fill.order].quantity
        assert over_filled or filled[fill.order] <= approved, (
            f"{fill.order} filled beyond {approved} by {fill_id}"
        )
    return len(fills)


def check_fates(
    decoded: Decoded, approvals: dict[str, Approval], claims: dict[str, Claim], *, finished: bool
) -> int:
    """No order is lost: every approval was answered, and every claimed order came to a known state."""
    statuses: dict[str, OrderStatus] = {}
    unclaimed: set[str] = set()
    claimed_at: dict[str, int] = {}
    now = 0
    for _, message in decoded:
        if message.kind.startswith("feed."):
            now = max(now, getattr(message, "at", 0))
        elif isinstance(message, Claim):
            claimed_at.setdefault(message.order, now)
        elif isinstance(message, OrderUpdate):
            statuses[message.order] = message.status
        elif isinstance(message, Unclaimed):
            unclaimed.add(message.order)
    lost = [order for order in approvals if order not in statuses]
    assert not lost or not finished, f"expected execution to answer every approval, was silence for {lost}"
    both = unclaimed & claims.keys()
    assert not both, f"said to be unclaimed and yet claimed: {both}"
    if finished:
        between = [o for o, s in statuses.items() if s is OrderStatus.PENDING_SUBMIT]
        assert not between, f"expected a claim or its absence for every order, was neither for {between}"
        late = [order for order in claims if now - claimed_at.get(order, 0) > ANSWER_NS_MAX]
        forgotten = [o for o in late if statuses[o] not in TERMINAL and statuses[o] not in KNOWN]
        assert not forgotten, f"orders in no known state: {forgotten}"
    return len(unclaimed)


KNOWN = (
    OrderStatus.UNKNOWN,
    OrderStatus.ACCEPTED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.PENDING_CANCEL,
)
"""What a claimed order may still be at the end: working, or unknown and said so."""
ANSWER_NS_MAX = 6 * SECOND
"""The venue takes its time to answer; after ``execution.ack_timeout_s`` (5 s) the order is unknown."""


async def check_journal(dsn: str, records: list[TapeRecord]) -> int:
    """Every record that the journal keeps has its row; only what came after it was stopped may miss."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = [row["seq"] for row in await connection.fetch("SELECT seq FROM journal.entry ORDER BY seq")]
        position = await connection.fetchval("SELECT max(position) FROM journal.epoch")
    finally:
        await connection.close()
    kept = [record.seq for record in records if is_kept(record.subject)]
    assert len(rows) == len(set(rows)), "expected one row for each sequence"
    assert rows == [seq for seq in kept if seq <= position], (
        "expected a row for every kept record, and no other"
    )
    services = ("monitor.", "journal.")
    last = max(r.seq for r in records if is_kept(r.subject) and not r.subject.startswith(services))
    assert position >= last, f"expected the journal to reach {last}, was {position}"
    return len(rows)


async def check_positions(dsn: str, decoded: Decoded) -> None:
    """The database's positions, computed from fills by SQL, equal the fold's."""
    portfolio = Portfolio()
    for _, message in decoded:
        portfolio.apply(message)
    folded = {instrument: position.quantity for _, instrument, position in portfolio.open_positions()}
    connection = await asyncpg.connect(dsn)
    try:
        rows: list[Any] = await connection.fetch(
            "SELECT instrument, open FROM journal.positions WHERE open <> 0"
        )
    finally:
        await connection.close()
    computed = {row["instrument"]: int(row["open"] * ONE) for row in rows}
    assert computed == folded, f"expected the positions {folded}, the database has {computed}"
