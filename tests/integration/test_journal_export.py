"""What is exported as JSON lines is what was on the tape."""

import io
import json
from base64 import b64decode
from pathlib import Path

import pytest

from libs.contract.codec import decode
from libs.tape.record import TapeRecord
from services.journal.writer import JournalWriter
from tests.support.journal_tape import TAPE, kept, record
from tests.support.samples import SAMPLES
from tools.offline.journal import export_journal

pytestmark = pytest.mark.asyncio

RECORDS = [record(seq, message, cause=seq - 1) for seq, message in enumerate(SAMPLES, 1)]
POISON = TapeRecord(
    len(RECORDS) + 1, "risk.approval.x", {}, b"\xff\x00 not msgpack", RECORDS[-1].stored_at_ns + 1
)


async def lines(dsn: str, **options: object) -> list[dict[str, object]]:
    output = io.BytesIO()
    count = await export_journal(dsn, output, **options)
    found = [json.loads(line) for line in output.getvalue().splitlines()]
    assert len(found) == count
    return found


async def test_an_export_gives_back_the_tape(empty_database: str, tmp_path: Path) -> None:
    writer = JournalWriter(empty_database, TAPE, tmp_path / "anchors.jsonl")
    await writer.append([*RECORDS, POISON])
    await writer.close()
    exported = await lines(empty_database)
    restored = [_record(line) for line in exported]
    assert restored == [*kept(RECORDS), POISON]
    for line, item in zip(exported[:-1], kept(RECORDS), strict=True):
        message = decode(item.subject, item.payload)
        assert line["kind"] == message.kind or str(line["kind"]).endswith(".started")
        assert line["body"] is not None
    assert exported[-1]["body"] is None
    assert exported[-1]["unreadable"]

    part = await lines(empty_database, from_seq=5, to_seq=20, kinds=["risk.approval", "venue.fill"])
    assert [line["seq"] for line in part] == [
        r.seq
        for r in kept(RECORDS)
        if 5 <= r.seq <= 20 and r.subject.startswith(("risk.approval.", "venue.fill."))
    ]
    assert part


def _record(line: dict[str, object]) -> TapeRecord:
    headers = {
        name: str(line[column])
        for name, column in (
            ("Nats-Msg-Id", "message_id"),
            ("cause", "cause"),
            ("root", "root"),
            ("build", "build"),
            ("sig", "signature"),
            ("kid", "key_id"),
        )
        if line[column]
    }
    payload = b64decode(str(line["payload"]))
    return TapeRecord(
        int(str(line["seq"])), str(line["subject"]), headers, payload, int(str(line["stored_ns"]))
    )
