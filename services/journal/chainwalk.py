"""Walking the rows of one epoch in order and naming what is wrong with them. Pure.

Each row says which row it follows (``prev_seq``, ``prev_hash``), its number in the day (``n``) and its own
hash. What breaks tells the damage:

=====================================  ===============================================================
a row's own hash does not fit it       changed
a row follows one further back         what stands between them was inserted
a row follows one that is not there    removed; ``prev_seq`` names the last of the removed rows
a row knew its predecessor otherwise   the predecessor was changed and its hash made to fit
decoded columns are not the payload's  changed (the raw payload is intact)
=====================================  ===============================================================
"""

from collections import deque
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from services.journal.rows import Content, Row, columns_of, is_refused, row_hash

PLACES_MAX = 10_000
"""Rows looked back on for the one a row follows: more rows than that inserted in one place are named "inserted"
one by one by their own links."""


class Damage(StrEnum):
    """What happened to a row or to the journal."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    TAIL_CUT = "tail cut"
    REWRITTEN = "rewritten"
    COUNT = "row count"
    MISSING = "missing"
    EPOCH = "epoch changed"
    DEFINITION = "definition changed"


class ChainFinding(NamedTuple):
    """One piece of damage: where (``epoch``, ``seq`` on the tape), what, and how it shows."""

    epoch: int
    seq: int
    damage: Damage
    detail: str

    def __str__(self) -> str:
        if self.damage is Damage.DEFINITION:
            return f"{self.damage.value}: {self.detail}"
        return f"epoch {self.epoch}, sequence {self.seq}: {self.damage.value}: {self.detail}"


class ChainPosition(NamedTuple):
    """Where a sound row stands in the chain."""

    seq: int
    day: date
    n: int
    hash: bytes


class Walker:
    """Takes the rows of one epoch in rising sequence and collects findings."""

    def __init__(self, epoch: int, genesis: bytes) -> None:
        self.epoch = epoch
        self.rows = 0
        start = ChainPosition(0, date.min, 0, genesis)
        self._places: deque[ChainPosition] = deque([start], maxlen=PLACES_MAX)
        # With the row that gave it away: if that row turns out to be inserted, what it said is void.
        self._found: list[tuple[int, ChainFinding]] = []

    @property
    def last(self) -> ChainPosition:
        """The row taken last; the genesis before the first."""
        return self._places[-1]

    @property
    def findings(self) -> list[ChainFinding]:
        """What was found so far, by sequence."""
        return sorted({finding for _, finding in self._found})

    def check(self, row: Row) -> None:
        """Check one row against itself and against the rows before it."""
        self.rows += 1
        fits = row_hash(row.prev_hash, row.prev_seq, row.n, content_of_row(row), is_refused(row)) == row.hash
        if not fits:
            self._report(row, row.seq, Damage.CHANGED, "its content does not fit its hash")
        if not self._follows(row, self.last):
            self._judge_link(row, fits)
        if fits:
            self._check_columns(row)
        self._places.append(ChainPosition(row.seq, row.day, row.n, row.hash))

    def _follows(self, row: Row, place: ChainPosition) -> bool:
        return row.prev_hash == place.hash and row.prev_seq == place.seq

    def _judge_link(self, row: Row, fits: bool) -> None:
        last = self.last
        earlier = next((place for place in reversed(self._places) if self._follows(row, place)), None)
        if earlier is not None:
            self._name_inserted(row, earlier)
        elif row.prev_seq > last.seq:
            missing = row.n - last.n - 1 if row.day == last.day else row.n - 1
            count = f"{missing} rows" if missing > 1 else "a row"
            text = f"{count} between {last.seq} and {row.seq}, the last of them {row.prev_seq}"
            self._report(row, row.prev_seq, Damage.REMOVED, text)
        elif row.prev_seq == last.seq and fits:
            self._report(row, last.seq, Damage.CHANGED, f"its hash is not the one that row {row.seq} follows")
        elif fits:
            self._report(row, row.seq, Damage.INSERTED, f"it does not follow row {last.seq}")

    def _name_inserted(self, row: Row, earlier: ChainPosition) -> None:
        """``row`` follows a row further back: what stands in between was put there later."""
        inserted = [place.seq for place in self._places if earlier.seq < place.seq < row.seq]
        self._found = [entry for entry in self._found if entry[0] not in inserted]
        for seq in inserted:
            self._report(row, seq, Damage.INSERTED, f"row {row.seq} follows {earlier.seq}, not it")

    def _check_columns(self, row: Row) -> None:
        """Columns that follow from the content must still say what it says."""
        expected = columns_of(row)
        found = {name: getattr(row, name) for name in expected}
        if found["body"] is not None and expected["body"] is not None:
            found["body"], expected["body"] = _parsed(found["body"]), _parsed(expected["body"])
        expected["day"], found["day"] = max(expected["day"], self.last.day), row.day
        names = [name for name, value in expected.items() if found[name] != value]
        if names:
            text = f"columns {', '.join(names)} are not what its payload (which is intact) says"
            self._report(row, row.seq, Damage.CHANGED, text)

    def _report(self, witness: Row, seq: int, damage: Damage, detail: str) -> None:
        self._found.append((witness.seq, ChainFinding(self.epoch, seq, damage, detail)))


def content_of_row(row: Row) -> Content:
    """What the hash of a stored row covers."""
    return Content(*(getattr(row, name) for name in Content._fields))


def _parsed(body: str) -> Any:
    return msgspec.json.decode(body)
