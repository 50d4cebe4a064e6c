"""ChainFinding damage: rows changed, removed or inserted, and a tail that was cut off; each one named.

Three witnesses are compared: the rows themselves (each knows the row before it, see ``chainwalk``), the
anchors in the local file, and the anchors on the tape. Somebody who rewrites everything behind a changed row
is found by the anchors alone; which row it was then takes the tape (``compare_with_tape``). What the views
read the rows by is compared too: their ``definitions``, and the ``epochs``.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date
from typing import NamedTuple

import asyncpg

from libs.tape.record import TapeRecord
from proto.service import Anchor
from services.journal.anchors import FiledAnchor
from services.journal.chainwalk import ChainFinding, ChainPosition, Damage, Walker
from services.journal.definitions import check_definitions
from services.journal.epochs import check_epochs, load_epochs
from services.journal.resume import is_same
from services.journal.rows import COLUMNS, Row, genesis
from services.journal.store import contents

FETCH_ROWS = 2_000
"""Rows in memory at a time."""

_ROWS = f"SELECT {', '.join(COLUMNS)} FROM journal.entry WHERE epoch = $1 ORDER BY seq"  # noqa: S608 - our names


class Verification(NamedTuple):
    """What was checked and what was found; sound when there are no findings."""

    rows: int
    anchors: int
    last_seq: int
    findings: list[ChainFinding]


class _Walked(NamedTuple):
    """What walking one epoch left behind: its end, rows and last place by day, and the anchored places."""

    end: ChainPosition
    days: dict[date, tuple[int, ChainPosition]]
    places: dict[int, ChainPosition]


async def verify(
    connection: asyncpg.Connection,
    anchors_from_file: Sequence[FiledAnchor],
    anchors_from_tape: Sequence[Anchor],
) -> Verification:
    """Check every row, every day's head, every anchor, and all that the views read rows by.

    Read the anchors before calling: the rows are read in one snapshot taken now, which is then not older.
    A journal that is being written meanwhile does not disturb.
    """
    definitions = await check_definitions(connection)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        epochs = await load_epochs(connection)
        anchored = {anchor.seq for anchor in anchors_from_file} | {anchor.seq for anchor in anchors_from_tape}
        findings = await _known_damage(connection) + check_epochs(epochs, anchors_from_file)
        walked: dict[int, _Walked] = {}
        for epoch in epochs:
            walked[epoch["epoch"]] = await _walk(connection, epoch, anchored, findings)
            await _check_days(connection, epoch["epoch"], walked[epoch["epoch"]], findings)
    filed = list(anchors_from_file)
    filed += [_place_anchor(anchor, walked, epochs) for anchor in anchors_from_tape]
    _check_anchors(filed, walked, findings)
    rows = sum(count for part in walked.values() for count, _ in part.days.values())
    last_seq = max((part.end.seq for part in walked.values()), default=0)
    return Verification(rows, len(filed), last_seq, definitions + _without_doubles(findings))


async def _walk(
    connection: asyncpg.Connection, epoch: asyncpg.Record, anchored: set[int], findings: list[ChainFinding]
) -> _Walked:
    number, start = epoch["epoch"], genesis(epoch["epoch"], epoch["tape"], epoch["from_seq"])
    walker = Walker(number, start)
    if epoch["genesis"] != start:
        findings.append(
            ChainFinding(number, epoch["from_seq"], Damage.CHANGED, "the epoch's own line was changed")
        )
    days: dict[date, tuple[int, ChainPosition]] = {}
    places: dict[int, ChainPosition] = {}
    async for record in connection.cursor(_ROWS, number, prefetch=FETCH_ROWS):
        row = Row(*record.values())
        walker.check(row)
        if row.seq > epoch["position"]:
            text = f"the journal has not come further than {epoch['position']}"
            findings.append(ChainFinding(number, row.seq, Damage.INSERTED, text))
        days[row.day] = (days.get(row.day, (0, walker.last))[0] + 1, walker.last)
        if row.seq in anchored:
            places[row.seq] = walker.last
    findings += walker.findings
    return _Walked(walker.last, days, places)


async def _check_days(
    connection: asyncpg.Connection, epoch: int, walked: _Walked, findings: list[ChainFinding]
) -> None:
    """The head of each day, as the journal noted it, against the rows that are there."""
    clean = not any(finding.epoch == epoch for finding in findings)
    for day in await connection.fetch("SELECT * FROM journal.day WHERE epoch = $1 ORDER BY day", epoch):
        count, last = walked.days.get(day["day"], (0, ChainPosition(0, day["day"], 0, b"")))
        if day["last_seq"] > last.seq:
            # Nothing follows in this epoch: no later row could have said so.
            text = f"{day['rows'] - last.n} rows of {day['day']} after {last.seq} up to {day['last_seq']}"
            damage = Damage.TAIL_CUT if walked.end.seq <= last.seq else Damage.REMOVED
            findings.append(ChainFinding(epoch, day["last_seq"], damage, text))
        elif clean and (count != day["rows"] or last.hash != day["head"]):
            text = (
                f"{day['day']} was noted with {day['rows']} rows up to {day['last_seq']}, there are {count}"
            )
            findings.append(ChainFinding(epoch, last.seq, Damage.COUNT, text))


def _place_anchor(
    anchor: Anchor, walked: dict[int, _Walked], epochs: Iterable[asyncpg.Record]
) -> FiledAnchor:
    """An anchor from the tape does not name its epoch: where its head is found, else where the tape leads."""
    tapes = {epoch["epoch"]: epoch for epoch in epochs}
    for number, part in walked.items():
        place = part.places.get(anchor.seq)
        if place is not None and place.hash.hex() == anchor.head:
            return _filed(anchor, number, tapes[number]["tape"])
    number = max(tapes, default=0)
    while number in tapes and anchor.seq < tapes[number]["from_seq"] and tapes[number]["parent"] is not None:
        number = tapes[number]["parent"]
    return _filed(anchor, number, tapes[number]["tape"] if number in tapes else "")


def _filed(anchor: Anchor, epoch: int, tape: str) -> FiledAnchor:
    return FiledAnchor(
        epoch=epoch,
        tape=tape,
        day=anchor.day,
        seq=anchor.seq,
        rows=anchor.rows,
        head=anchor.head,
        at=anchor.at,
    )


def _check_anchors(
    anchors: Iterable[FiledAnchor], walked: dict[int, _Walked], findings: list[ChainFinding]
) -> None:
    sound_seq: dict[int, int] = {}
    rewritten: set[int] = set()
    for anchor in sorted(anchors, key=lambda a: (a.epoch, a.seq)):
        part = walked.get(anchor.epoch)
        if part is None:
            text = f"the journal held {anchor.rows} rows of tape {anchor.tape} on {anchor.day}"
            findings.append(ChainFinding(anchor.epoch, anchor.seq, Damage.REMOVED, text))
            continue
        place = part.places.get(anchor.seq)
        if place is None:
            findings.append(_missing(anchor, part.end))
        elif (place.hash.hex(), place.n, place.day.isoformat()) == (anchor.head, anchor.rows, anchor.day):
            sound_seq[anchor.epoch] = anchor.seq
        elif anchor.epoch not in rewritten and not _is_named(findings, anchor):
            rewritten.add(anchor.epoch)
            after = sound_seq.get(anchor.epoch, 0)
            text = f"the chain was made anew somewhere after {after}: at {anchor.seq} it is not what was anchored"
            findings.append(ChainFinding(anchor.epoch, anchor.seq, Damage.REWRITTEN, text))


def _missing(anchor: FiledAnchor, end: ChainPosition) -> ChainFinding:
    if anchor.seq > end.seq:
        text = f"rows after {end.seq} up to {anchor.seq}, of which {anchor.day} had {anchor.rows} in all"
        return ChainFinding(anchor.epoch, anchor.seq, Damage.TAIL_CUT, text)
    return ChainFinding(anchor.epoch, anchor.seq, Damage.REMOVED, "an anchor was made at this row")


def _is_named(findings: Iterable[ChainFinding], anchor: FiledAnchor) -> bool:
    """The anchored row itself was found to be changed: its hash cannot be the anchored one."""
    return any(f.epoch == anchor.epoch and f.seq == anchor.seq for f in findings)


async def _known_damage(connection: asyncpg.Connection) -> list[ChainFinding]:
    """What the journal itself came upon: rows it had to move away, and gaps."""
    findings = [
        ChainFinding(
            row["epoch"], row["seq"], Damage.INSERTED, "it stood where the journal had not written yet"
        )
        for row in await connection.fetch("SELECT epoch, seq FROM journal.quarantine")
    ]
    findings += [
        ChainFinding(row["epoch"], row["seq"], Damage.MISSING, row["detail"])
        for row in await connection.fetch(
            "SELECT epoch, seq, detail FROM journal.incident WHERE kind = 'gap'"
        )
    ]
    return findings


def _without_doubles(findings: Iterable[ChainFinding]) -> list[ChainFinding]:
    """One finding for each damage of each row, the first that was made."""
    kept: dict[tuple[int, int, Damage], ChainFinding] = {}
    for finding in findings:
        kept.setdefault((finding.epoch, finding.seq, finding.damage), finding)
    return sorted(kept.values())


async def compare_with_tape(
    connection: asyncpg.Connection, records: AsyncIterator[Sequence[TapeRecord]]
) -> list[ChainFinding]:
    """Compare the newest epoch's history with the tape itself, which names what a rewritten chain hides.

    Records beyond the journal's position are ignored: they have not been taken in yet.
    """
    newest = await connection.fetchrow(
        "SELECT epoch, position FROM journal.epoch ORDER BY epoch DESC LIMIT 1"
    )
    epoch, position = (0, 0) if newest is None else newest
    findings: list[ChainFinding] = []
    async for batch in records:
        known = [record for record in batch if record.seq <= position]
        if not known:
            continue
        stored = await contents(connection, epoch, known[0].seq, known[-1].seq)
        on_tape = {record.seq: record for record in known}
        for seq in sorted(on_tape.keys() | stored.keys()):
            record = on_tape.get(seq)
            if record is None:
                findings.append(ChainFinding(epoch, seq, Damage.INSERTED, "the tape has no such message"))
            elif not is_same(record, stored.get(seq)):
                damage = Damage.CHANGED if seq in stored else Damage.REMOVED
                findings.append(ChainFinding(epoch, seq, damage, "it is not what the tape holds"))
    return findings
