"""The gate before real money: paper trades closed by the same strategies, keys, and a typed word.

Only trades of real-time sessions on the real venues' prices count. The sandbox and synthetic frames say nothing
about a venue; and a recording played back at any speed shows that a strategy runs, not that its operator has
watched it run.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import asyncpg

from proto.operator import Prices

PAPER_TRADES_MIN = 30
"""Closed paper trades of each strategy before it may trade for real: the house plan's number."""
REALTIME_S_MAX = 60
"""A fill stored so long after its own time was not made in real time."""
CONNECT_TIMEOUT_S = 5.0
LATE = "late"
"""The origin of a trade on real prices that was not made in real time."""
LEFT_OUT = {
    Prices.SANDBOX: "at the sandbox",
    Prices.SYNTHETIC: "on synthetic prices",
    Prices.RECORDING: "on recordings",
    LATE: "not in real time",
    Prices.UNKNOWN: "in sessions that do not say where their prices came from",
}
"""Origin of trades that do not count → how it is said."""

# From journal.fact alone: a database that nobody ran with this build yet has no newer view.
_CLOSED = """
WITH opened AS (
    SELECT run, seq, CASE body ->> 'mode' WHEN 'playback' THEN 'recording'
                     ELSE coalesce(body ->> 'prices', 'unknown') END AS prices
    FROM journal.fact
    WHERE kind = 'operator.session'
), fills AS (
    SELECT DISTINCT ON (f.run, f.body ->> 'fill_id')
           f.run, f.seq, f.strategy, f.body ->> 'instrument' AS instrument,
           (f.body ->> 'quantity')::numeric * CASE f.body ->> 'side' WHEN 'buy' THEN 1 ELSE -1 END AS change,
           CASE WHEN session.prices IS DISTINCT FROM 'real' THEN coalesce(session.prices, 'unknown')
                WHEN abs(extract(epoch FROM f.stored_at - f.happened_at)) >= $1 THEN 'late'
           END AS left_out
    FROM journal.fact f
    LEFT JOIN LATERAL (
        SELECT prices FROM opened o WHERE o.run = f.run AND o.seq < f.seq ORDER BY o.seq DESC LIMIT 1
    ) session ON true
    WHERE f.kind = 'venue.fill' AND f.body ->> 'fill_id' LIKE 'fill:paper:%'
    ORDER BY f.run, f.body ->> 'fill_id', f.seq
), running AS (
    SELECT *, sum(change) OVER (PARTITION BY run, strategy, instrument ORDER BY seq) AS net
    FROM fills
), numbered AS (
    -- a trade goes from nothing held to nothing held
    SELECT *, count(*) FILTER (WHERE net = 0) OVER (
               PARTITION BY run, strategy, instrument ORDER BY seq ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW
           ) AS trade
    FROM running
), trades AS (
    SELECT run, strategy, instrument, min(left_out) AS left_out, bool_or(net = 0) AS flat, max(seq) AS last_seq
    FROM numbered
    GROUP BY run, strategy, instrument, trade
)
SELECT t.strategy, coalesce(t.left_out, 'real') AS origin, count(*) AS closed
FROM trades t
WHERE t.flat OR EXISTS (
    SELECT FROM journal.settlement s WHERE s.run = t.run AND s.instrument = t.instrument AND s.seq > t.last_seq
)
GROUP BY t.strategy, origin
"""


async def closed_paper_trades(dsn: str) -> dict[str, Counter[str]]:
    """Strategy → origin → positions that were opened and left, or settled, on paper.

    Those of the origin ``real`` count: every fill made in real time, on the venues' prices. The others are named
    as in ``LEFT_OUT``.

    Raises:
        OSError, asyncpg.PostgresError: the database does not answer.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        if await connection.fetchval("SELECT to_regclass('journal.entry')") is None:
            return {}
        found: dict[str, Counter[str]] = {}
        for row in await connection.fetch(_CLOSED, REALTIME_S_MAX):
            found.setdefault(row["strategy"], Counter())[row["origin"]] = row["closed"]
        return found
    finally:
        await connection.close()


def too_few(closed: Mapping[str, Mapping[str, int]], strategies: Sequence[str]) -> list[str]:
    """Why these strategies may not trade for real yet, a line each; empty when they may."""
    missing = []
    for strategy in strategies:
        by_origin = closed.get(strategy, {})
        counted = by_origin.get(Prices.REAL, 0)
        if counted < PAPER_TRADES_MIN:
            others = [f"{by_origin[name]} {words}" for name, words in LEFT_OUT.items() if by_origin.get(name)]
            left_out = f" (left out: {', '.join(others)})" if others else ""
            missing.append(
                f"{strategy}: expected at least {PAPER_TRADES_MIN} closed paper trades on real prices,"
                f" was {counted}{left_out}"
            )
    return missing


def confirmation(venues: Sequence[str]) -> str:
    """What must be typed, exactly, to trade for real at these venues."""
    return f"live {' '.join(sorted(venues))}"
