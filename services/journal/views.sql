-- What an operator queries. Amounts are dollars and contracts (numeric, exact), not millionths.
-- Re-made whenever this text changes.

-- A number of millionths, as the decimal it stands for.
CREATE OR REPLACE FUNCTION journal.amount(millionths numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN trim_scale(round(millionths / 1000000, 6));

-- A position folded trade by trade, in millionths, as libs/portfolio does it (average cost): quantity, cost, realised
-- profit before fees, contracts closed, and the cost released for them. What a trade closes releases its share of the
-- cost, rounded down to a millionth.
CREATE OR REPLACE FUNCTION journal.traded(held numeric[], signed numeric, value numeric) RETURNS numeric[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    closing numeric := 0;
    value_closing numeric := 0;
    released numeric := 0;
    direction numeric := sign(held[1]);
    added numeric := 0;
BEGIN
    IF held[1] * signed < 0 THEN
        closing := least(abs(held[1]), abs(signed));
        value_closing := div(value * closing, abs(signed));
        released := div(abs(held[2]) * closing, abs(held[1]));
    END IF;
    IF abs(signed) > closing THEN
        added := sign(signed) * (value - value_closing);
    END IF;
    RETURN ARRAY[
        held[1] + signed,
        held[2] - direction * released + added,
        held[3] + direction * (value_closing - released),
        held[4] + closing,
        held[5] + released
    ];
END
$$;
CREATE OR REPLACE AGGREGATE journal.average_cost(numeric, numeric) (
    SFUNC = journal.traded, STYPE = numeric[], INITCOND = '{0,0,0,0,0}', PARALLEL = SAFE
);

-- Readable messages that count: not those of a tail the tape lost.
CREATE VIEW journal.fact AS
SELECT p.run, p.tape, e.epoch, e.seq, coalesce(e.at, e.stored_at) AS happened_at, e.stored_at, e.at, e.kind,
       e.subject, e.message_id, e.producer, e.cause, e.root, e.build, e.signature <> '' AS signed,
       e.order_id, e.market, e.strategy, e.body
FROM journal.entry e
JOIN journal.epoch p USING (epoch)
WHERE e.body IS NOT NULL AND (p.ends_at_seq IS NULL OR e.seq <= p.ends_at_seq);

-- Sessions, and where their prices came from: real, sandbox, synthetic, recording, or unknown (sessions from
-- before that was told, and frames of a socket).
CREATE VIEW journal.session AS
SELECT run, tape, seq, stored_at AS opened_at, body ->> 'mode' AS mode,
       CASE body ->> 'mode' WHEN 'playback' THEN 'recording'
                            ELSE coalesce(body ->> 'prices', 'unknown') END AS prices,
       body ->> 'recording' AS recording
FROM journal.fact
WHERE kind = 'operator.session';

-- Every fill once, by its natural key, without those the venue took back.
CREATE VIEW journal.fill AS
SELECT DISTINCT ON (f.run, f.body ->> 'fill_id')
       f.run, f.seq, f.happened_at, f.body ->> 'fill_id' AS fill_id, f.order_id, f.strategy, f.market,
       f.body ->> 'instrument' AS instrument, f.body ->> 'side' AS side,
       journal.amount((f.body ->> 'price')::numeric) AS price,
       journal.amount((f.body ->> 'quantity')::numeric) AS quantity,
       -- the value of one fill is rounded half up to a millionth, as everywhere
       round((f.body ->> 'price')::numeric * (f.body ->> 'quantity')::numeric / 1000000000000, 6) AS value,
       journal.amount((f.body ->> 'fee')::numeric) AS fee,
       coalesce((f.body ->> 'maker')::boolean, false) AS maker
FROM journal.fact f
WHERE f.kind = 'venue.fill'
  AND NOT EXISTS (
      SELECT FROM journal.fact c
      WHERE c.kind = 'venue.correction' AND c.run = f.run AND c.body ->> 'fill_id' = f.body ->> 'fill_id'
  )
ORDER BY f.run, f.body ->> 'fill_id', f.seq;

-- What each instrument was paid in the end: a settlement counts once, by its natural key; the same price told again is a
-- repetition, another one means that its market was resolved anew.
CREATE VIEW journal.settlement AS
SELECT DISTINCT ON (run, instrument) run, seq, happened_at, market, instrument, price
FROM (
    SELECT *, lag(price) OVER (PARTITION BY run, instrument ORDER BY seq) AS before
    FROM (
        SELECT DISTINCT ON (s.run, s.body ->> 'instrument', s.body ->> 'settlement_id')
               s.run, s.seq, s.happened_at, s.market, s.body ->> 'instrument' AS instrument,
               journal.amount((s.body ->> 'price')::numeric) AS price
        FROM journal.fact s
        WHERE s.kind = 'venue.settlement'
        ORDER BY s.run, s.body ->> 'instrument', s.body ->> 'settlement_id', s.seq
    ) once
) told
WHERE price IS DISTINCT FROM before
ORDER BY run, instrument, seq DESC;

-- Orders with the approval that allowed them, its cause, and what became of them.
-- An order without an approval has nulls there, which must never be seen.
CREATE VIEW journal.orders AS
WITH named AS (
    SELECT run, order_id, min(seq) AS first_seq
    FROM journal.fact
    WHERE kind IN ('risk.approval', 'execution.order', 'ledger.order', 'venue.fill') AND order_id IS NOT NULL
    GROUP BY run, order_id
), filled AS (
    SELECT run, order_id, sum(quantity) AS quantity, sum(value) AS value, sum(fee) AS fee
    FROM journal.fill
    GROUP BY run, order_id
)
SELECT named.run, named.order_id, u.body ->> 'status' AS status,
       coalesce(a.strategy, u.strategy) AS strategy, coalesce(a.market, u.market) AS market,
       coalesce(a.body ->> 'instrument', u.body ->> 'instrument') AS instrument,
       a.body ->> 'side' AS side,
       journal.amount((a.body ->> 'price')::numeric) AS price,
       journal.amount((a.body ->> 'quantity')::numeric) AS quantity,
       a.body ->> 'time_in_force' AS time_in_force,
       coalesce((a.body ->> 'reduce_only')::boolean, false) AS reduce_only,
       coalesce(filled.quantity, 0) AS filled,
       round(filled.value / nullif(filled.quantity, 0), 6) AS average_price,
       coalesce(filled.fee, 0) AS fee,
       a.seq AS approval_seq, a.message_id AS approval, a.signed AS approval_signed,
       a.stored_at AS approved_at,
       a.cause AS cause_seq, c.kind AS cause_kind, a.body ->> 'proposal' AS proposal,
       coalesce(c.body ->> 'reason', a.body ->> 'reason') AS cause_reason,
       l.seq AS claim_seq, u.seq AS last_seq, u.stored_at AS updated_at, u.body ->> 'reason' AS reason,
       r.body ->> 'reason' AS refused
FROM named
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact f
    WHERE f.run = named.run AND f.order_id = named.order_id AND f.kind = 'risk.approval' ORDER BY f.seq LIMIT 1
) a ON true
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact f
    WHERE f.run = named.run AND f.order_id = named.order_id AND f.kind = 'execution.order'
    ORDER BY f.seq DESC LIMIT 1
) u ON true
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact f
    WHERE f.run = named.run AND f.order_id = named.order_id AND f.kind = 'ledger.order' ORDER BY f.seq LIMIT 1
) l ON true
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact f
    WHERE f.run = named.run AND f.order_id = named.order_id AND f.kind = 'execution.refusal'
    ORDER BY f.seq DESC LIMIT 1
) r ON true
LEFT JOIN LATERAL (SELECT * FROM journal.fact f WHERE f.run = a.run AND f.seq = a.cause) c ON true
LEFT JOIN filled ON filled.run = named.run AND filled.order_id = named.order_id
ORDER BY named.run, named.first_seq;

-- Positions as the sum of fills and settlements: independent of what the services think they hold.
-- cost is what the open contracts cost on average, as in the services' books; realised_profit is before fees.
CREATE VIEW journal.positions AS
SELECT f.run, f.market, f.instrument,
       CASE WHEN s.seq IS NULL THEN f.net ELSE 0 END AS open,
       f.bought, f.sold, f.paid, f.received, f.fees,
       s.price AS settled_at, CASE WHEN s.seq IS NULL THEN NULL ELSE f.net * s.price END AS payout,
       f.received - f.paid + coalesce(f.net * s.price, journal.amount(f.folded[2])) AS realised_profit,
       CASE WHEN s.seq IS NULL THEN journal.amount(f.folded[2]) ELSE 0 END AS cost,
       f.fills, f.last_fill_at
FROM (
    SELECT run, market, instrument,
           sum(CASE side WHEN 'buy' THEN quantity ELSE -quantity END) AS net,
           coalesce(sum(quantity) FILTER (WHERE side = 'buy'), 0) AS bought,
           coalesce(sum(quantity) FILTER (WHERE side = 'sell'), 0) AS sold,
           coalesce(sum(value) FILTER (WHERE side = 'buy'), 0) AS paid,
           coalesce(sum(value) FILTER (WHERE side = 'sell'), 0) AS received,
           journal.average_cost(
               CASE side WHEN 'buy' THEN quantity ELSE -quantity END * 1000000, value * 1000000 ORDER BY seq
           ) AS folded,
           sum(fee) AS fees, count(*) AS fills, max(happened_at) AS last_fill_at
    FROM journal.fill
    GROUP BY run, market, instrument
) f
LEFT JOIN journal.settlement s ON s.run = f.run AND s.instrument = f.instrument;

-- The last report of risk's books in each minute (of the session's time).
CREATE VIEW journal.equity_by_minute AS
SELECT DISTINCT ON (run, date_trunc('minute', happened_at))
       run, date_trunc('minute', happened_at) AS minute,
       journal.amount((body ->> 'equity')::numeric) AS equity,
       journal.amount((body ->> 'cash')::numeric) AS cash,
       journal.amount((body ->> 'realised_profit')::numeric) AS realised_profit,
       journal.amount((body ->> 'fees')::numeric) AS fees,
       journal.amount((body ->> 'exposure')::numeric) AS exposure,
       journal.amount((body ->> 'exposure_limit')::numeric) AS exposure_limit,
       (body ->> 'positions')::integer AS positions, coalesce(body ->> 'state', 'active') AS state, seq
FROM journal.fact
WHERE kind = 'risk.portfolio'
ORDER BY run, date_trunc('minute', happened_at), seq DESC;

-- One line a check that failed; a rejection with several failed checks counts once under each.
-- limit and value of names that end in _s (seconds) or _count are plain numbers, else millionths.
CREATE VIEW journal.rejections_by_reason AS
SELECT run, reason, count(*) AS rejections, count(DISTINCT market) AS markets,
       (array_agg(bound ORDER BY seq DESC))[1] AS last_limit,
       (array_agg(value ORDER BY seq DESC))[1] AS last_value,
       min(stored_at) AS first_at, max(stored_at) AS last_at, max(seq) AS last_seq
FROM (
    SELECT f.run, f.seq, f.stored_at, f.market, c.item ->> 0 AS reason,
           CASE WHEN plain THEN (c.item ->> 1)::numeric ELSE journal.amount((c.item ->> 1)::numeric) END AS bound,
           CASE WHEN plain THEN (c.item ->> 2)::numeric ELSE journal.amount((c.item ->> 2)::numeric) END AS value
    FROM journal.fact f
    CROSS JOIN LATERAL jsonb_array_elements(coalesce(f.body -> 'failed', '[]')) AS c (item)
    CROSS JOIN LATERAL (SELECT c.item ->> 0 ~ '(_s|_count)$') AS u (plain)
    WHERE f.kind = 'risk.rejection'
) checks
GROUP BY run, reason
ORDER BY run, rejections DESC, reason;

-- Contracts that a strategy's trades closed, at their average cost; a settlement closes what is left.
CREATE VIEW journal.closed AS
WITH leg AS (
    SELECT run, strategy, instrument, seq, happened_at, price,
           CASE side WHEN 'buy' THEN quantity ELSE -quantity END * 1000000 AS signed, value * 1000000 AS value
    FROM journal.fill
    UNION ALL
    SELECT f.run, f.strategy, f.instrument, s.seq, s.happened_at, s.price,
           -sum(CASE f.side WHEN 'buy' THEN f.quantity ELSE -f.quantity END) * 1000000,
           round(s.price * abs(sum(CASE f.side WHEN 'buy' THEN f.quantity ELSE -f.quantity END)), 6) * 1000000
    FROM journal.fill f
    JOIN journal.settlement s ON s.run = f.run AND s.instrument = f.instrument
    GROUP BY f.run, f.strategy, f.instrument, s.seq, s.happened_at, s.price
    HAVING sum(CASE f.side WHEN 'buy' THEN f.quantity ELSE -f.quantity END) <> 0
), folded AS (
    SELECT *, journal.average_cost(signed, value) OVER trades AS held
    FROM leg
    WINDOW trades AS (PARTITION BY run, strategy, instrument ORDER BY seq)
), stepped AS (
    SELECT *, coalesce(lag(held) OVER trades, '{0,0,0,0,0}') AS before
    FROM folded
    WINDOW trades AS (PARTITION BY run, strategy, instrument ORDER BY seq)
)
SELECT run, strategy, instrument, happened_at AS closed_at,
       round((held[5] - before[5]) / (held[4] - before[4]), 6) AS entry_price, price AS exit_price,
       journal.amount(held[4] - before[4]) AS quantity, journal.amount(held[3] - before[3]) AS realised_profit
FROM stepped
WHERE held[4] > before[4];

-- Profit of a strategy in each hour (of the session's time): what its trades realised, less fees charged.
CREATE VIEW journal.profit_by_strategy_and_hour AS
SELECT run, strategy, hour, sum(fills)::bigint AS fills, sum(closed) AS closed,
       round(sum(gross), 6) AS realised_profit, sum(fee) AS fees, round(sum(gross) - sum(fee), 6) AS profit
FROM (
    SELECT run, strategy, date_trunc('hour', closed_at) AS hour, 0 AS fills, quantity AS closed,
           realised_profit AS gross, 0::numeric AS fee
    FROM journal.closed
    UNION ALL
    SELECT run, strategy, date_trunc('hour', happened_at), 1, 0, 0, fee FROM journal.fill
) part
GROUP BY run, strategy, hour
ORDER BY run, strategy, hour;

-- The last word on each alert, active ones first.
CREATE VIEW journal.latest_alerts AS
SELECT *
FROM (
    SELECT DISTINCT ON (run, body ->> 'rule', body ->> 'topic')
           run, coalesce((body ->> 'active')::boolean, true) AS active, body ->> 'severity' AS severity,
           body ->> 'rule' AS rule, body ->> 'topic' AS topic, body ->> 'text' AS text, stored_at, seq
    FROM journal.fact
    WHERE kind = 'monitor.alert'
    ORDER BY run, body ->> 'rule', body ->> 'topic', seq DESC
) last
ORDER BY active DESC, stored_at DESC;
