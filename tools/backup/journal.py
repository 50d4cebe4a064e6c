"""The journal's tables as files: each by PostgreSQL's own binary copy, all of one moment."""

from collections.abc import Sequence
from pathlib import Path

import asyncpg

from services.journal.schema import migrate
from tools.backup.manifest import StoredTable
from tools.exit_codes import UsageError

SCHEMA = "journal"
MIGRATIONS = "migration"
"""Not copied: the program makes the tables of its own version, and says so there."""
FIRST = "epoch"
"""What other tables refer to."""
CONNECT_TIMEOUT_S = 5.0

_TABLES = """
SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'
GROUP BY c.relname
"""
_HAS_ROWS = "SELECT EXISTS (SELECT FROM journal.epoch)"
_IDENTITIES = """
SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = $1 AND is_identity = 'YES'
"""


async def save_journal(dsn: str, folder: Path) -> list[StoredTable]:
    """Write each table into a file of its name; the tables. None where nothing was journalled yet.

    Raises:
        OSError, asyncpg.PostgresError: the database does not answer, or the disk refused a file.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found = {row["name"]: row["columns"] for row in await connection.fetch(_TABLES, SCHEMA)}
            tables = []
            for name in sorted(found.keys() - {MIGRATIONS}, key=lambda name: (name != FIRST, name)):
                result = await connection.copy_from_table(
                    name,
                    schema_name=SCHEMA,
                    columns=found[name],
                    output=folder / name,
                    format="binary",
                    timeout=None,
                )
                tables.append(StoredTable(name, found[name], _rows(result)))
            return tables
    finally:
        await connection.close()


async def restore_journal(dsn: str, tables: Sequence[StoredTable], folder: Path) -> None:
    """Fill an empty database from such files, in one transaction.

    Raises:
        OSError, asyncpg.PostgresError: the database does not answer, or does not take a table.
        UsageError: a journal with rows is there.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        await migrate(connection)
        async with connection.transaction():
            if await connection.fetchval(_HAS_ROWS):
                raise UsageError("expected a database without a journal, was one with rows")
            for table in tables:
                await connection.copy_to_table(
                    table.name,
                    schema_name=SCHEMA,
                    columns=table.columns,
                    source=folder / table.name,
                    format="binary",
                    timeout=None,
                )
            for row in await connection.fetch(_IDENTITIES, SCHEMA):
                await _set_identity(connection, row["table_name"], row["column_name"])
    finally:
        await connection.close()


async def _set_identity(connection: asyncpg.Connection, table: str, column: str) -> None:
    """The next number follows the copied ones."""
    # The names come from the server's own catalogue of tables that this program made.
    newest = await connection.fetchval(f"SELECT max({column}) FROM {SCHEMA}.{table}")  # noqa: S608
    if newest is not None:
        sequence = await connection.fetchval(
            "SELECT pg_get_serial_sequence($1, $2)", f"{SCHEMA}.{table}", column
        )
        await connection.execute("SELECT setval($1::text::regclass, $2)", sequence, newest)


def _rows(result: str) -> int:
    """The number in ``COPY 123``."""
    return int(result.rpartition(" ")[2])
