"""Making tables, views and functions anew, as this program defines them, around the rows that are there.

Rows are not judged: what was changed in them is found by ``verify`` as before. What somebody added to the schema is moved
into another one and not destroyed.
"""

import secrets
from collections.abc import Iterable
from typing import NamedTuple

import asyncpg

from services.journal.definitions import Definitions, check_definitions, read_definitions
from services.journal.schema import LOCK, SchemaError, migrate, remake_views

TABLES = ("epoch", "day", "entry", "quarantine", "incident")
"""With rows, those that others refer to first. ``migration`` is made with its rows."""
VIEW, TABLE, FUNCTION = "view ", "table ", "function "


class Repaired(NamedTuple):
    """What was made anew, and the schema that holds what somebody had added; empty when nobody had."""

    names: list[str]
    aside: str


async def repair(connection: asyncpg.Connection) -> Repaired:
    """Make every definition what it should be, all of them or none. Nothing else may use the journal meanwhile.

    With a changed table all rows are copied, which takes their room once more until it is done.

    Raises:
        SchemaError: rows do not fit the tables that they belong into, or a definition cannot be made.
    """
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        definitions = await read_definitions(connection)
        names = definitions.differing()
        if not names:
            return Repaired([], "")
        aside = f"journal_aside_{secrets.token_hex(4)}"
        if any(name.startswith(TABLE) for name in names if name in definitions.expected):
            await _copy(connection, aside, definitions)
        else:
            await connection.execute(f"CREATE SCHEMA {aside}")
            await _move(connection, aside, definitions.found.keys() - definitions.expected.keys())
            await _drop(connection, "journal", definitions.expected)
            await remake_views(connection)
        is_empty = not await _objects(connection, aside)
        if is_empty:
            await connection.execute(f"DROP SCHEMA {aside} CASCADE")
        left = await check_definitions(connection)
        if left:
            raise SchemaError(f"expected every definition to be made anew, was: {left[0].detail}")
        return Repaired(names, "" if is_empty else aside)


async def _move(connection: asyncpg.Connection, aside: str, names: Iterable[str]) -> None:
    """Move what somebody added out of the journal's schema."""
    for name in sorted(names):
        kind, _, rest = name.partition(" ")
        sort = {"table": "TABLE", "view": "TABLE", "function": "ROUTINE"}[kind]
        await connection.execute(f"ALTER {sort} journal.{_quoted(rest)} SET SCHEMA {aside}")


async def _drop(connection: asyncpg.Connection, schema: str, names: Iterable[str]) -> None:
    """Drop views, and what stands on them, then functions."""
    kinds = await _objects(connection, schema)
    for name in names:
        rest = name.partition(" ")[2]
        if name.startswith(VIEW) and rest in kinds:
            sort = {"v": "VIEW", "m": "MATERIALIZED VIEW"}[kinds[rest]]
            await connection.execute(f"DROP {sort} IF EXISTS {schema}.{_quoted(rest)} CASCADE")
    for name in names:
        if name.startswith(FUNCTION):
            await connection.execute(f"DROP ROUTINE IF EXISTS {schema}.{name.removeprefix(FUNCTION)} CASCADE")


async def _copy(connection: asyncpg.Connection, aside: str, definitions: Definitions) -> None:
    """Put the schema aside, make it anew, and copy the rows into it."""
    await connection.execute(f"ALTER SCHEMA journal RENAME TO {aside}")
    await migrate(connection)
    kinds = await _objects(connection, aside)
    try:
        for table in TABLES:
            if table in kinds:
                await _copy_rows(connection, aside, table)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as e:
        raise SchemaError(f"expected rows that fit the journal's tables, was {e}") from e
    await _drop(connection, aside, [name for name in definitions.found if name in definitions.expected])
    for table in (*TABLES, "migration"):
        await connection.execute(f"DROP TABLE IF EXISTS {aside}.{table} CASCADE")


async def _copy_rows(connection: asyncpg.Connection, aside: str, table: str) -> None:
    # Rows that a policy hides are rows all the same; without the right to see them this fails.
    await connection.execute(
        f"ALTER TABLE {aside}.{table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
    )
    columns = await connection.fetch(
        "SELECT new.attname AS name, format_type(new.atttypid, new.atttypmod) AS type"
        " FROM pg_attribute new JOIN pg_attribute old USING (attname)"
        " WHERE new.attrelid = $1::regclass AND old.attrelid = $2::regclass AND new.attnum > 0 AND old.attnum > 0"
        " AND NOT new.attisdropped AND NOT old.attisdropped ORDER BY new.attnum",
        f"journal.{table}",
        f"{aside}.{table}",
    )
    names = ", ".join(column["name"] for column in columns)
    values = ", ".join(f"{column['name']}::{column['type']}" for column in columns)
    await connection.execute(
        f"INSERT INTO journal.{table} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {aside}.{table}"  # noqa: S608 - our names
    )
    if table == "incident":
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('journal.incident', 'id'), max(id)) FROM journal.incident"
            " HAVING max(id) IS NOT NULL"
        )


async def _objects(connection: asyncpg.Connection, schema: str) -> dict[str, str]:
    """Tables, views and functions of a schema → what sort it is."""
    rows = await connection.fetch(
        "SELECT relname AS name, relkind::text AS kind FROM pg_class"
        " WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p', 'f', 'v', 'm')"
        " UNION ALL SELECT proname, 'function' FROM pg_proc WHERE pronamespace = to_regnamespace($1)",
        schema,
    )
    return {row["name"]: row["kind"] for row in rows}


def _quoted(name: str) -> str:
    """A name with its arguments, if it has some, as the server would write it."""
    return name if "(" in name else '"' + name.replace('"', '""') + '"'
