"""The journal as JSON lines: streamed, in bounded memory."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec

FETCH_ROWS = 1_000
"""Rows in memory at a time."""

_QUERY = """
SELECT e.epoch, p.run, p.tape, e.seq, e.stored_ns, e.kind, e.subject, e.message_id, e.producer, e.cause, e.root,
       e.build, e.signature, e.key_id, e.order_id, e.market, e.strategy, e.payload, e.body, e.unreadable, e.hash
FROM journal.entry e JOIN journal.epoch p USING (epoch)
WHERE e.seq >= $1 AND ($2::bigint IS NULL OR e.seq <= $2) AND ($3::text[] IS NULL OR e.kind = ANY($3))
ORDER BY e.epoch, e.seq
"""

_encode = msgspec.json.Encoder().encode


async def export(
    connection: asyncpg.Connection,
    write: Callable[[bytes], object],
    *,
    from_seq: int = 1,
    to_seq: int | None = None,
    kinds: list[str] | None = None,
) -> int:
    """Write one JSON object a line for each row; returns their number.

    ``payload`` is base64 of the bytes as received, ``hash`` hexadecimal, ``body`` the decoded message or null.
    """
    count = 0
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for row in connection.cursor(_QUERY, from_seq, to_seq, kinds, prefetch=FETCH_ROWS):
            write(_encode(_line(row)) + b"\n")
            count += 1
    return count


def _line(row: asyncpg.Record) -> dict[str, Any]:
    line = dict(row)
    line["payload"] = b64encode(row["payload"]).decode()
    line["hash"] = row["hash"].hex()
    # Already JSON: put in as it is.
    line["body"] = None if row["body"] is None else msgspec.Raw(row["body"].encode())
    return line
