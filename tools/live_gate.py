"""The gate before real money: paper trades closed by the same strategies, keys, and a typed word.

Only trades of real-time sessions count. A recording played back at any speed shows that a strategy runs, not
that its operator has watched it run.
"""

from collections.abc import Mapping, Sequence

import asyncpg

PAPER_TRADES_MIN = 30
"""Closed paper trades of each strategy before it may trade for real: the house plan's number."""
REALTIME_S_MAX = 60
"""A fill stored so long after its own time was not made in real time."""
CONNECT_TIMEOUT_S = 5.0

_CLOSED = """
WITH fills AS (
    SELECT DISTINCT ON (run, body ->> 'fill_id')
           run, seq, strategy, body ->> 'instrument' AS instrument,
           (body ->> 'quantity')::numeric * CASE body ->> 'side' WHEN 'buy' THEN 1 ELSE -1 END AS change
    FROM journal.fact
    WHERE kind = 'venue.fill' AND body ->> 'fill_id' LIKE 'fill:paper:%'
      AND abs(extract(epoch FROM stored_at - happened_at)) < $1
    ORDER BY run, body ->> 'fill_id', seq
), running AS (
    SELECT *, sum(change) OVER history AS net,
           lead(seq) OVER history IS NULL AS last
    FROM fills
    WINDOW history AS (PARTITION BY run, strategy, instrument ORDER BY seq)
)
SELECT r.strategy, count(*) AS closed
FROM running r
WHERE r.net = 0
   OR (r.last AND EXISTS (
       SELECT FROM journal.settlement s WHERE s.run = r.run AND s.instrument = r.instrument AND s.seq > r.seq
   ))
GROUP BY r.strategy
"""


async def closed_paper_trades(dsn: str) -> dict[str, int]:
    """Strategy → positions that were opened and left, or settled, on paper in real time.

    Raises:
        OSError, asyncpg.PostgresError: the database does not answer.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        if await connection.fetchval("SELECT to_regclass('journal.entry')") is None:
            return {}
        return {row["strategy"]: row["closed"] for row in await connection.fetch(_CLOSED, REALTIME_S_MAX)}
    finally:
        await connection.close()


def too_few(closed: Mapping[str, int], strategies: Sequence[str]) -> list[str]:
    """Why these strategies may not trade for real yet, a line each; empty when they may."""
    return [
        f"{strategy}: expected at least {PAPER_TRADES_MIN} closed paper trades, was {closed.get(strategy, 0)}"
        for strategy in strategies
        if closed.get(strategy, 0) < PAPER_TRADES_MIN
    ]


def confirmation(venues: Sequence[str]) -> str:
    """What must be typed, exactly, to trade for real at these venues."""
    return f"live {' '.join(sorted(venues))}"
