"""Finding changed definitions: tables, views and functions that are no longer what this program makes of them.

The rows may be sound while a view or a function that reads them was replaced. What is expected is not kept
anywhere it could be changed: the statements of this program are run again under another name, in a transaction
that is undone, and the server describes both in its own words.
"""

import secrets
from typing import NamedTuple

import asyncpg

from services.journal.chainwalk import ChainFinding, Damage
from services.journal.schema import statements

_DEFINITIONS = """
WITH relation AS (
    SELECT c.oid, c.relname AS name, c.relkind, c.reloptions, c.relpersistence,
           c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c
    WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
)
SELECT CASE WHEN relkind IN ('v', 'm') THEN 'view ' ELSE 'table ' END || name AS name,
       concat_ws(E'\n', relkind, reloptions::text, relpersistence, relrowsecurity, relforcerowsecurity,
           CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
           (SELECT string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                                        a.attidentity, a.attgenerated, a.attcollation::regcollation,
                                        pg_get_expr(d.adbin, d.adrelid)), E'\n' ORDER BY a.attnum)
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
            WHERE a.attrelid = relation.oid AND a.attnum > 0 AND NOT a.attisdropped),
           (SELECT string_agg(pg_get_constraintdef(k.oid), E'\n' ORDER BY k.conname)
            FROM pg_constraint k WHERE k.conrelid = relation.oid),
           (SELECT string_agg(t.tgenabled::text || pg_get_triggerdef(t.oid, true), E'\n' ORDER BY t.tgname)
            FROM pg_trigger t WHERE t.tgrelid = relation.oid AND NOT t.tgisinternal),
           (SELECT string_agg(w.ev_enabled::text || pg_get_ruledef(w.oid, true), E'\n' ORDER BY w.rulename)
            FROM pg_rewrite w WHERE w.ev_class = relation.oid AND relkind NOT IN ('v', 'm')),
           (SELECT string_agg(p.polname, ' ' ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = relation.oid)
       ) AS definition
FROM relation
UNION ALL
SELECT 'function ' || p.oid::regprocedure,
       concat_ws(E'\n', p.prokind, l.lanname, pg_get_function_result(p.oid), p.provolatile, p.proisstrict,
           p.prosecdef, p.proconfig::text, p.prosrc, pg_get_function_sqlbody(p.oid), p.probin,
           g.aggtransfn, g.aggfinalfn, format_type(g.aggtranstype, NULL), g.agginitval,
           g.aggmtransfn, g.aggmfinalfn, g.aggcombinefn)
FROM pg_proc p
JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_aggregate g ON g.aggfnoid = p.oid
WHERE p.pronamespace = to_regnamespace($1)
"""


class Definitions(NamedTuple):
    """Name ("view orders") → definition in the server's words: as it should be, and as it is."""

    expected: dict[str, str]
    found: dict[str, str]

    def differing(self) -> list[str]:
        """The names of what is missing, added, or defined otherwise."""
        names = self.expected.keys() | self.found.keys()
        return sorted(name for name in names if self.expected.get(name) != self.found.get(name))


async def read_definitions(connection: asyncpg.Connection) -> Definitions:
    """The definitions of this program and those of the database.

    The connection needs the right to create a schema, as the journal's has.
    """
    reference = f"journal_{secrets.token_hex(8)}"
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"CREATE SCHEMA {reference}; {statements(reference)}")
        expected = await _definitions(connection, reference)
        return Definitions(expected, await _definitions(connection, "journal"))
    finally:
        await transaction.rollback()


async def check_definitions(connection: asyncpg.Connection) -> list[ChainFinding]:
    """Compare each table, view and function of the journal with what this program would make.

    What somebody added to the schema is named too: views of one's own belong into another schema.
    """
    definitions = await read_definitions(connection)
    findings = []
    for name in definitions.differing():
        if name not in definitions.found:
            text = f"expected the {name}, was none"
        elif name not in definitions.expected:
            text = f"expected no {name}, somebody added it"
        else:
            text = f"the {name} is not defined as this version of the program defines it"
        findings.append(ChainFinding(0, 0, Damage.DEFINITION, text))
    return findings


async def _definitions(connection: asyncpg.Connection, schema: str) -> dict[str, str]:
    # Only names outside the search path are written with their schema: so both schemas read the same.
    await connection.execute(f"SET LOCAL search_path = {schema}")
    return {row["name"]: row["definition"] for row in await connection.fetch(_DEFINITIONS, schema)}
