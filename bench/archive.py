"""``python -m bench.archive --state DIR``: what the archive costs, measured on the tape of a stopped state directory.

For each zstd level the bytes of a message, and how many are written and read a second of processor time. Then the same
messages over and over, ``--messages`` of them as segments of the usual length: how long a look for an order takes, for all
fills, and for the sequence of a time.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from libs.archive.archive import Archive, make_folder
from libs.archive.segment import LEVEL, SegmentWriter
from libs.explain.archived_chain import archived_records
from libs.machine.snapshots import KEPT_EVERY_SEQ
from libs.tape.record import CAUSE_HEADER, TapeRecord
from proto.execution import OrderUpdate
from proto.units import SECOND
from proto.venue import Fill
from tools.cli.commands.tape import history_of
from tools.offline.tape_time import sequence_at
from tools.system.installation import tape_access

LEVELS = (1, 3, 6, 9, 19)
DAY_S = 86_400


class ArchivedTape:
    """An archive alone, as a tape that can be read."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def bounds(self) -> tuple[int, int]:
        """The first and the last sequence."""
        return self._archive.first, self._archive.last

    async def records(self, first: int, last: int) -> Any:
        """The records of a stretch, in order."""
        for record in self._archive.records(first, last):
            yield record


async def read_tape(state: Path) -> list[TapeRecord]:
    """Every message of a stopped system's tape."""
    async with tape_access(state) as (installation, link):
        return [record async for record in history_of(installation, link).records()]


def measure_level(records: Sequence[TapeRecord], level: int, folder: Path) -> dict[str, float]:
    """One segment of all records at one level."""
    make_folder(folder)
    began = time.process_time()
    writer = SegmentWriter(folder, "bench", "", level)
    writer.add_all(records)
    size = writer.seal().stat().st_size
    written_s = time.process_time() - began
    began = time.process_time()
    count = sum(1 for _ in Archive(folder).records(1, records[-1].seq))
    read_s = time.process_time() - began
    seconds = (records[-1].stored_at_ns - records[0].stored_at_ns) / SECOND
    return {
        "level": level,
        "bytes_a_message": round(size / count, 1),
        "written_a_second": round(count / written_s),
        "read_a_second": round(count / read_s),
        "megabytes_a_day": round(size * DAY_S / seconds / 1e6),
        "gigabytes_a_day_at_1000_a_second": round(size / count * 1_000 * DAY_S / 1e9, 1),
    }


def over_and_over(records: Sequence[TapeRecord]) -> Iterator[TapeRecord]:
    """The same messages for ever, one session after the other; causes stay within theirs."""
    span, shift, seq = records[-1].stored_at_ns - records[0].stored_at_ns, 0, 0
    while True:
        began = seq
        for record in records:
            seq += 1
            headers = dict(record.headers)
            if record.cause:
                headers[CAUSE_HEADER] = str(began + record.cause - records[0].seq + 1)
            stored_at = record.stored_at_ns + shift * span
            yield TapeRecord(seq, record.subject, headers, record.payload, stored_at)
        shift += 1


def measure_looks(records: Sequence[TapeRecord], messages: int, folder: Path) -> dict[str, Any]:
    """An archive of so many messages, and how long it takes to find something in it."""
    make_folder(folder)
    source, previous, left = over_and_over(records), "", messages
    while left > 0:
        writer = SegmentWriter(folder, "bench", previous)
        writer.add_all(islice(source, min(left, KEPT_EVERY_SEQ)))
        writer.seal()
        left -= KEPT_EVERY_SEQ
        previous = Archive(folder).segments[-1].info.digest
    looks: dict[str, Any] = {"messages": messages, "level": LEVEL, "bytes": Archive(folder).size}
    # Ids come again with each round; by its sequence an order's update in the middle is one of its kind.
    place = next((at for at, r in enumerate(records, 1) if r.subject.startswith(OrderUpdate.kind)), 1)
    update = messages // 2 // len(records) * len(records) + place
    middle = records[len(records) // 2].stored_at_ns
    for name, look in (
        ("why_s", lambda: archived_records(Archive(folder), str(update))),
        ("all_fills_s", lambda: list(Archive(folder).matching([f"{Fill.kind}.>"], 0, messages + 1))),
        ("a_time_s", lambda: asyncio.run(sequence_at(ArchivedTape(Archive(folder)), middle))),
    ):
        began = time.perf_counter()
        look()
        looks[name] = round(time.perf_counter() - began, 2)
    return looks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.archive", description="What the archive costs.")
    parser.add_argument("--state", type=Path, required=True, help="a state directory in which nothing runs")
    parser.add_argument("--messages", type=int, default=0, help="of the archive that is looked through")
    options = parser.parse_args()
    records = asyncio.run(read_tape(options.state))
    with tempfile.TemporaryDirectory() as folder:
        levels = [measure_level(records, level, Path(folder, str(level))) for level in LEVELS]
        document: dict[str, Any] = {"messages": len(records), "levels": levels}
        if options.messages:
            document["looks"] = measure_looks(records, options.messages, Path(folder, "looks"))
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
