"""The journal's rows, by a connection that can only read and that no search holds for long."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import asyncpg
import msgspec

CONNECT_S = 3.0
STATEMENT_MS = 3_000
"""A search that takes longer is told to narrow: the journal's own writes must not wait for readers."""
CONNECTIONS_MAX = 2
EXCERPT_CHARACTERS_MAX = 400
_SELECT = (
    "SELECT epoch, seq, stored_ns, kind, subject, producer, order_id, market, strategy, cause, body::text AS body"
    " FROM journal.entry WHERE epoch = (SELECT max(epoch) FROM journal.epoch)"
)
FILTERS = {
    "kind": "kind",
    "order": "order_id",
    "market": "market",
    "strategy": "strategy",
    "producer": "producer",
}
"""Filter → column."""


class JournalUnavailable(Exception):
    """History cannot be read now; the text says why. What is live goes on."""


@dataclass(frozen=True)
class Search:
    """What is asked for: filters by name, and the sequence before which to begin."""

    filters: Mapping[str, str]
    before: int | None
    count: int


class Journal:
    """Reads ``journal.entry`` at the address of the run."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: asyncpg.Pool | None = None
        self._lock = asyncio.Lock()

    async def find(self, search: Search) -> list[dict[str, Any]]:
        """The newest entries that fit, newest first.

        Raises:
            JournalUnavailable: there is no database, it does not answer, or the search takes too long.
        """
        where, values = ["TRUE"], []
        for name, value in search.filters.items():
            if value:
                values.append(value)
                where.append(f"{FILTERS[name]} = ${len(values)}")
        if search.before is not None:
            values.append(search.before)  # type: ignore[arg-type] # texts and one number
            where.append(f"seq < ${len(values)}")
        # Names of columns are ours, of the table above; what was asked for goes as parameters.
        statement = f"{_SELECT} AND {' AND '.join(where)} ORDER BY seq DESC LIMIT {int(search.count)}"
        rows = await self._fetch(statement, values)
        return [_row(row) for row in rows]

    async def _fetch(self, statement: str, values: list[str]) -> list[Any]:
        try:
            pool = await self._connected()
            async with pool.acquire(timeout=CONNECT_S) as connection:
                return list(await connection.fetch(statement, *values))
        except asyncpg.QueryCanceledError as e:
            raise JournalUnavailable(
                f"the search took longer than {STATEMENT_MS / 1000:.0f} s: narrow it by kind or order"
            ) from e
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as e:
            raise JournalUnavailable(f"the journal does not answer ({type(e).__name__})") from e

    async def _connected(self) -> asyncpg.Pool:
        if not self._dsn:
            raise JournalUnavailable("the console was given no database: its service alone reads it here")
        async with self._lock:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    timeout=CONNECT_S,
                    server_settings={
                        "default_transaction_read_only": "on",
                        "statement_timeout": str(STATEMENT_MS),
                        "application_name": "presage console",
                    },
                )
        return self._pool

    async def close(self) -> None:
        """Give the connections back."""
        if self._pool is not None:
            self._pool.terminate()


def _row(row: Any) -> dict[str, Any]:
    body = row["body"]
    return {
        "seq": str(row["seq"]),
        "epoch": row["epoch"],
        "at": str(row["stored_ns"]),
        "kind": row["kind"],
        "subject": row["subject"],
        "producer": row["producer"],
        "order": row["order_id"] or "",
        "market": row["market"] or "",
        "strategy": row["strategy"] or "",
        "cause": None if row["cause"] is None else str(row["cause"]),
        "body": None if body is None else as_exact(msgspec.json.decode(body)),
    }


NUMBER_MAX = 2**53 - 1
"""The largest whole number that every reader of JSON keeps."""


def as_exact(value: Any) -> Any:
    """Plain data without a number that a reader would round: large ones become text, and what is no number null."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= NUMBER_MAX else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): as_exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_exact(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value
