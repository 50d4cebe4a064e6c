-- What models were asked, said and cost, and what an evaluation of a day found, proposed and changed. Re-made with views.sql,
-- on whose journal.fact everything here stands.

-- What models were asked, and what came of it: the first answer to each question, which alone counts.
CREATE VIEW journal.answers AS
SELECT DISTINCT ON (run, body ->> 'question')
       run, seq, happened_at AS answered_at, body ->> 'question' AS question, market, body ->> 'role' AS role,
       body ->> 'status' AS status, journal.amount((body ->> 'probability')::numeric) AS probability,
       journal.amount((body ->> 'low')::numeric) AS low, journal.amount((body ->> 'high')::numeric) AS high,
       coalesce(body ->> 'reasons', '') AS reasons, coalesce(body -> 'sources', '[]') AS sources,
       coalesce(body ->> 'detail', '') AS detail, coalesce(body ->> 'model', '') AS answered_by,
       coalesce((body ->> 'tokens_in')::bigint, 0) AS tokens_in,
       coalesce((body ->> 'tokens_out')::bigint, 0) AS tokens_out,
       coalesce((body ->> 'searches')::bigint, 0) AS searches, coalesce((body ->> 'calls')::bigint, 0) AS requests,
       journal.amount(coalesce((body ->> 'cost')::numeric, 0)) AS cost,
       coalesce((body ->> 'latency_ms')::bigint, 0) AS latency_ms
FROM journal.fact
WHERE kind = 'advisor.answer'
ORDER BY run, body ->> 'question', seq;

-- Every question with its answer; nulls while there is none.
CREATE VIEW journal.questions AS
SELECT q.run, q.seq, q.happened_at AS asked_at, q.body ->> 'question' AS question, q.market,
       q.body ->> 'family' AS family, q.body ->> 'role' AS role, q.body ->> 'prompt' AS prompt,
       q.body ->> 'provider' AS provider, q.body ->> 'model' AS model, q.body ->> 'text' AS text,
       journal.amount((q.body ->> 'reserve')::numeric) AS reserve,
       a.seq AS answer_seq, a.answered_at, a.status, a.probability, a.reasons, a.detail, a.cost, a.latency_ms
FROM journal.fact q
LEFT JOIN journal.answers a ON a.run = q.run AND a.question = q.body ->> 'question'
WHERE q.kind = 'advisor.question'
ORDER BY q.run, q.seq;

-- Pooled forecasts beside the price at the same moment, and what came in the end. gain: nats better than the price, of the
-- market's newest forecast.
CREATE VIEW journal.forecasts AS
SELECT f.run, f.seq, f.happened_at AS made_at, f.market, f.body ->> 'family' AS family, f.body ->> 'roster' AS roster,
       f.body ->> 'status' AS status, f.body ->> 'influence' AS influence,
       nullif(journal.amount(coalesce((f.body ->> 'forecast')::numeric, 0)), 0) AS forecast,
       journal.amount(coalesce((f.body ->> 'price')::numeric, 0)) AS price,
       journal.amount(coalesce((f.body ->> 'probability')::numeric, 0)) AS probability,
       journal.amount(coalesce((f.body ->> 'weight')::numeric, 0)) AS weight,
       coalesce((f.body ->> 'outcomes')::bigint, 0) AS outcomes, coalesce(f.body ->> 'reasons', '') AS reasons,
       (l.body ->> 'happened')::boolean AS happened, journal.amount((l.body ->> 'gain')::numeric) AS gain
FROM journal.fact f
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact l
    WHERE l.run = f.run AND l.kind = 'advisor.lesson' AND l.market = f.market AND l.seq > f.seq
    ORDER BY l.seq LIMIT 1
) l ON true
WHERE f.kind = 'advisor.forecast'
ORDER BY f.run, f.seq;

-- The newest record of each forecaster (pool, role, source) in each family, beside the market's price at the same moments.
CREATE VIEW journal.scores AS
SELECT DISTINCT ON (run, body ->> 'family', body ->> 'scope', body ->> 'name')
       run, body ->> 'family' AS family, body ->> 'scope' AS scope, body ->> 'name' AS name,
       coalesce((body ->> 'count')::bigint, 0) AS markets,
       journal.amount(coalesce((body ->> 'brier')::numeric, 0)) AS brier,
       journal.amount(coalesce((body ->> 'brier_market')::numeric, 0)) AS brier_market,
       journal.amount(coalesce((body ->> 'loss')::numeric, 0)) AS log_loss,
       journal.amount(coalesce((body ->> 'loss_market')::numeric, 0)) AS log_loss_market,
       journal.amount(coalesce((body ->> 'weight')::numeric, 0)) AS weight,
       journal.amount(coalesce((body ->> 'lower_bound')::numeric, 0)) AS lower_bound, happened_at AS scored_at, seq
FROM journal.fact
WHERE kind = 'advisor.score'
ORDER BY run, body ->> 'family', body ->> 'scope', body ->> 'name', seq DESC;

-- What models cost by UTC day (of the session's time), model and status.
CREATE VIEW journal.model_costs_by_day AS
SELECT a.run, (a.answered_at AT TIME ZONE 'UTC')::date AS day, q.body ->> 'model' AS model, a.status,
       count(*) AS answers, sum(a.requests)::bigint AS requests, sum(a.tokens_in)::bigint AS tokens_in,
       sum(a.tokens_out)::bigint AS tokens_out, sum(a.searches)::bigint AS searches, sum(a.cost) AS cost,
       round(avg(a.latency_ms))::bigint AS latency_ms
FROM journal.answers a
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact q
    WHERE q.run = a.run AND q.kind = 'advisor.question' AND q.body ->> 'question' = a.question ORDER BY q.seq LIMIT 1
) q ON true
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4;

-- What rules found in a day; the newest word on each finding. cost: an estimate for one day.
CREATE VIEW journal.findings AS
SELECT DISTINCT ON (run, body ->> 'finding')
       run, seq, happened_at AS found_at, body ->> 'finding' AS finding, body ->> 'day' AS day, body ->> 'rule' AS rule,
       coalesce(body ->> 'scope', '') AS scope, body ->> 'text' AS text,
       journal.amount(coalesce((body ->> 'cost')::numeric, 0)) AS cost,
       coalesce((body ->> 'count')::bigint, 0) AS cases, coalesce((body ->> 'is_enough')::boolean, true) AS is_enough,
       coalesce(body -> 'evidence', '[]') AS evidence
FROM journal.fact
WHERE kind = 'eval.finding'
ORDER BY run, body ->> 'finding', seq DESC;

-- Proposed changes with what they did to their day, both simulated, what the operator said, and what became of them.
-- Amounts of settings (old, new) are as on the tape: millionths, or plain numbers of counts and seconds.
CREATE VIEW journal.change_proposals AS
SELECT p.run, p.seq, p.happened_at AS proposed_at, p.body ->> 'proposal' AS proposal, p.body ->> 'day' AS day,
       p.body -> 'edit' ->> 'path' AS path, (p.body -> 'edit' ->> 'old')::numeric AS old,
       (p.body -> 'edit' ->> 'new')::numeric AS new, p.body ->> 'reason' AS reason,
       coalesce(p.body ->> 'model', '') AS model, coalesce(p.body ->> 'prompt', '') AS prompt,
       journal.amount((p.body -> 'without' ->> 'profit')::numeric) AS profit_without,
       journal.amount((p.body -> 'changed' ->> 'profit')::numeric) AS profit_changed,
       coalesce((p.body ->> 'differing')::bigint, 0) AS differing, coalesce(p.body ->> 'detail', '') AS detail,
       o.body ->> 'verb' AS decision, o.seq AS decided_seq, o.signed AS decided_signed, o.stored_at AS decided_at,
       c.body ->> 'step' AS step, c.seq AS step_seq
FROM (
    SELECT DISTINCT ON (run, body ->> 'proposal') * FROM journal.fact
    WHERE kind = 'eval.proposal' ORDER BY run, body ->> 'proposal', seq DESC
) p
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact o
    WHERE o.run = p.run AND o.kind = 'operator.command' AND o.body ->> 'verb' IN ('accept', 'reject')
      AND o.body ->> 'proposal' = p.body ->> 'proposal'
    ORDER BY o.seq DESC LIMIT 1
) o ON true
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact c
    WHERE c.run = p.run AND c.kind IN ('signal.change', 'exit.change')
      AND c.body ->> 'proposal' = p.body ->> 'proposal'
    ORDER BY c.seq DESC LIMIT 1
) c ON true
ORDER BY p.run, p.seq;

-- What machines did with accepted changes, step by step.
CREATE VIEW journal.changes AS
SELECT run, seq, happened_at AS changed_at, producer AS machine, body ->> 'proposal' AS proposal,
       body ->> 'step' AS step, body -> 'edit' ->> 'path' AS path, (body -> 'edit' ->> 'old')::numeric AS old,
       (body -> 'edit' ->> 'new')::numeric AS new, coalesce(body ->> 'reason', '') AS reason
FROM journal.fact
WHERE kind IN ('signal.change', 'exit.change')
ORDER BY run, seq;

-- What the monitor made of each look at a change, and what it took back.
CREATE VIEW journal.rollbacks AS
SELECT v.run, v.seq, v.happened_at AS judged_at, v.body ->> 'proposal' AS proposal,
       (v.body ->> 'minutes')::integer AS minutes, v.body ->> 'ruling' AS ruling, v.body ->> 'reason' AS reason,
       journal.amount(coalesce((v.body ->> 'loss')::numeric, 0)) AS loss,
       journal.amount(coalesce((v.body ->> 'limit')::numeric, 0)) AS noise_limit,
       r.seq AS revert_seq, to_timestamp((r.body ->> 'barred_until')::numeric / 1000000000) AS barred_until
FROM journal.fact v
LEFT JOIN LATERAL (
    SELECT * FROM journal.fact r
    WHERE r.run = v.run AND r.kind = 'monitor.revert' AND r.body ->> 'proposal' = v.body ->> 'proposal'
      AND r.seq >= v.seq AND v.body ->> 'ruling' = 'revert'
    ORDER BY r.seq LIMIT 1
) r ON true
WHERE v.kind = 'monitor.verdict'
ORDER BY v.run, v.seq;
