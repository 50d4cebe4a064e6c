"""Bringing a database to the journal's schema."""

import hashlib
import re
from pathlib import Path

import asyncpg

HERE = Path(__file__).parent
MIGRATIONS: tuple[tuple[int, str], ...] = ((1, "schema.sql"),)
"""Applied once each, in order. Views are data-free and re-made whenever their text changes."""
VIEWS = ("views.sql", "views_advice.sql")
"""In this order: later ones stand on earlier ones."""
LOCK = 7_369_716_510
"""Advisory lock: two journals that start at once must not both migrate."""

_BOOTSTRAP = """
CREATE SCHEMA IF NOT EXISTS journal;
CREATE TABLE IF NOT EXISTS journal.migration (
    version    integer PRIMARY KEY,
    digest     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""
_VIEWS_VERSION = 0


class SchemaError(RuntimeError):
    """The database was written by a newer version, or a migration's text was changed after the fact."""


async def migrate(connection: asyncpg.Connection) -> None:
    """Apply what is missing, in one transaction.

    Raises:
        SchemaError: the database is newer than this program, or its history differs.
    """
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        await connection.execute(_BOOTSTRAP)
        applied = {
            row["version"]: row["digest"]
            for row in await connection.fetch("SELECT version, digest FROM journal.migration")
        }
        newest = max(version for version, _ in MIGRATIONS)
        if max(applied, default=0) > newest:
            raise SchemaError(f"expected schema version {newest} or older, was {max(applied)}")
        for version, name in MIGRATIONS:
            await _apply(connection, applied, version, (HERE / name).read_text(encoding="utf-8"))
        await _make_views(connection, applied.get(_VIEWS_VERSION))


def statements(schema: str = "journal") -> str:
    """All that ``migrate`` makes in an empty database, under the name ``schema``."""
    texts = [_BOOTSTRAP, *((HERE / name).read_text(encoding="utf-8") for _, name in MIGRATIONS)]
    texts.append(_views())
    return re.sub(r"\bjournal(?=[.;])", schema, "\n".join(texts))


def _views() -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in VIEWS)


async def _apply(connection: asyncpg.Connection, applied: dict[int, str], version: int, text: str) -> None:
    digest = hashlib.sha256(text.encode()).hexdigest()
    if version not in applied:
        await connection.execute(text)
        await _record_version(connection, version, digest)
    elif applied[version] != digest:
        raise SchemaError(f"expected migration {version} to be {digest[:12]}, was {applied[version][:12]}")


async def _make_views(connection: asyncpg.Connection, known_digest: str | None) -> None:
    text = _views()
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest != known_digest:
        await remake_views(connection)


async def remake_views(connection: asyncpg.Connection) -> None:
    """Make the views and functions anew; what stands on them goes with them."""
    text = _views()
    digest = hashlib.sha256(text.encode()).hexdigest()
    views = await connection.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'journal'")
    for view in views:
        await connection.execute(f'DROP VIEW IF EXISTS journal."{view["viewname"]}" CASCADE')
    await connection.execute(text)
    await _record_version(connection, _VIEWS_VERSION, digest)


async def _record_version(connection: asyncpg.Connection, version: int, digest: str) -> None:
    await connection.execute(
        "INSERT INTO journal.migration (version, digest) VALUES ($1, $2)"
        " ON CONFLICT (version) DO UPDATE SET digest = excluded.digest, applied_at = now()",
        version,
        digest,
    )
