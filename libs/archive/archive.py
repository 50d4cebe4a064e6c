"""The archive of one tape: its segments in order. What it holds is what its files say.

One thing is noted beside them: up to where segments were removed because of their age. What else is missing is lost.
"""

import json
import os
from bisect import bisect_right
from collections.abc import Collection, Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from libs.archive.segment import ArchiveDamaged, Segment
from libs.files import write_atomically
from libs.tape.record import TapeRecord

REMOVED = "removed.json"
"""The newest segment that was removed because of its age."""


class Removed(NamedTuple):
    """Up to which sequence segments were removed because of their age, and the hash of the last of them."""

    last: int
    digest: str


class ArchiveFinding(NamedTuple):
    """One thing that is wrong with an archive: in which file (or between which), and what."""

    file: str
    text: str


class Archive:
    """Reads the segments in a folder; look again with ``refresh`` while somebody writes there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segments: list[Segment] = []
        self._firsts: list[int] = []
        self.refresh()

    def refresh(self) -> None:
        """Look which files are there."""
        known = {segment.path.name: segment for segment in self.segments}
        paths = sorted(self.folder.glob("*.segment"))
        self.segments = [known.get(path.name) or Segment(path) for path in paths]
        self._firsts = [segment.first for segment in self.segments]

    @property
    def first(self) -> int:
        """The oldest sequence held; 0 when it is empty."""
        return self.segments[0].first if self.segments else 0

    @property
    def last(self) -> int:
        """The newest sequence held; 0 when it is empty."""
        return self.segments[-1].last if self.segments else 0

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(segment.path.stat().st_size for segment in self.segments)

    def last_before(self, at_ns: int) -> int:
        """The last sequence of the newest segment that ended before a time of the broker (ns); 0 without one.

        Raises:
            ArchiveDamaged: one of the segments cannot be read.
        """
        ended = (segment.last for segment in reversed(self.segments) if segment.info.last_at < at_ns)
        return next(ended, 0)

    def holds(self, seq: int) -> bool:
        """Whether a sequence is here."""
        return self._segment_of(seq) is not None

    def _segment_of(self, seq: int) -> Segment | None:
        at = bisect_right(self._firsts, seq) - 1
        return self.segments[at] if at >= 0 and seq <= self.segments[at].last else None

    def at(self, seq: int) -> TapeRecord | None:
        """One record; ``None`` when it is not here.

        Raises:
            ArchiveDamaged: it cannot be read.
        """
        segment = self._segment_of(seq)
        return None if segment is None else next(segment.records(seq, seq), None)

    def records(self, first: int, last: int) -> Iterator[TapeRecord]:
        """The records from ``first`` to ``last`` that are here, in order.

        Raises:
            ArchiveDamaged: one of them cannot be read.
        """
        for segment in self.segments:
            if segment.last >= first and segment.first <= last:
                yield from segment.records(first, last)
                segment.forget()

    def matching(self, patterns: Collection[str], after: int, before: int) -> Iterator[TapeRecord]:
        """The records of some subjects (or patterns) between two sequences, neither included; no prices, no clocks.

        Raises:
            ArchiveDamaged: one of them cannot be read.
        """
        for segment in self.segments:
            if segment.last <= after or segment.first >= before:
                continue
            seqs = sorted(
                seq
                for subject, found in segment.subjects().items()
                if any(subject_matches(pattern, subject) for pattern in patterns)
                for seq in found
                if after < seq < before
            )
            yield from segment.pick(seqs)
            segment.forget()

    def verify(self) -> list[ArchiveFinding]:
        """Read everything again: each segment whole, each following the one before."""
        findings: list[ArchiveFinding] = self._beginning()
        before: Segment | None = None
        for segment in self.segments:
            try:
                segment.verify()
                if before is not None:
                    findings += _link(before, segment)
            except ArchiveDamaged as e:
                findings.append(ArchiveFinding(segment.path.name, str(e)))
                before = None
            else:
                before = segment
        return findings

    def _beginning(self) -> list[ArchiveFinding]:
        """What is wrong with where it begins: at its first segment, or behind those that were too old."""
        try:
            removed = self._removed()
        except ValueError as e:
            return [ArchiveFinding(REMOVED, str(e))]
        if not self.segments:
            text = f"expected what follows {removed.last if removed else 0} to be held, was nothing"
            return [ArchiveFinding(REMOVED, text)] if removed else []
        first = self.segments[0]
        try:
            previous = first.info.previous
        except ArchiveDamaged:
            return []
        # A process that died while it removed them has noted more than it removed.
        if not previous or (removed and (removed.last >= first.first or removed.digest == previous)):
            return []
        text = f"expected the segments up to {first.first - 1} to be held, or removed because of their age; was neither"
        return [ArchiveFinding(first.path.name, text)]

    def _removed(self) -> Removed | None:
        """Raises ValueError for a note that cannot be read."""
        path = self.folder / REMOVED
        if not path.exists():
            return None
        try:
            noted = json.loads(path.read_bytes())
            return Removed(int(noted["last"]), str(noted["digest"]))
        except (ValueError, TypeError, KeyError) as e:
            raise ValueError(f"expected a sequence and a hash in {path.name}, was {e}") from e

    def prune(self, before_ns: int) -> int:
        """Remove the oldest segments whose last message is older than ``before_ns``; how many went.

        The newest one stays: it says where the next one begins.
        """
        gone = list(takewhile(lambda segment: segment.info.last_at < before_ns, self.segments[:-1]))
        if not gone:
            return 0
        noted = Removed(gone[-1].last, gone[-1].info.digest)
        write_atomically(self.folder / REMOVED, json.dumps(noted._asdict()).encode())
        for segment in gone:
            segment.path.unlink()
        self.refresh()
        return len(gone)


def _link(before: Segment, segment: Segment) -> list[ArchiveFinding]:
    name = segment.path.name
    if segment.first <= before.last:
        return [ArchiveFinding(name, f"expected it to begin after {before.last}, was {segment.first}")]
    if segment.first != before.last + 1:
        text = f"expected {before.last + 1} to {segment.first - 1} to be held, was nothing"
        return [ArchiveFinding(name, text)]
    if segment.info.previous != before.info.digest:
        text = f"expected to follow {before.info.digest[:16]}…, was {segment.info.previous[:16]}…"
        return [ArchiveFinding(name, text)]
    return []


def subject_matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of a pattern, as the broker sees it."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(tokens) > index
        if index >= len(tokens) or part not in ("*", tokens[index]):
            return False
    return len(tokens) == len(wanted)


def make_folder(folder: Path) -> None:
    """Make the folder of an archive; only its owner may look into it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.glob("*.new"):
        # A process that died while it wrote: the segment is written again from the tape.
        path.unlink()
    os.chmod(folder, 0o700)
