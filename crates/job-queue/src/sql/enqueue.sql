-- Puts jobs in their queues, in the caller's transaction. A job stands one step behind the last waiting one of its domain and
-- priority, or right behind the turn being served: so domains alternate, however many jobs one of them has. Returns the ids that
-- were added; one that is missing met an unfinished job with its unique key.
WITH input AS MATERIALIZED (
    SELECT coalesce(i.domain_id, current_domain_id()) AS domain_id, i.id, i.queue, i.kind, i.priority, i.max_attempts,
           i.payload::jsonb AS payload, coalesce(i.run_at, now() + make_interval(secs => coalesce(i.delay, 0))) AS run_at,
           i.unique_key, i.unique_while, i.batch_id, i.trace, i.ord
      FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::int4[], $6::int4[], $7::text[], $8::timestamptz[],
                  $9::float8[], $10::text[], $11::text[], $12::uuid[], $13::text[]) WITH ORDINALITY
        AS i (domain_id, id, queue, kind, priority, max_attempts, payload, run_at, delay, unique_key, unique_while, batch_id, trace, ord)
), flow AS MATERIALIZED (
    SELECT f.domain_id, f.queue, f.priority, coalesce((
               SELECT j.turn FROM queue_jobs j
                WHERE j.domain_id = f.domain_id AND j.queue = f.queue AND j.priority = f.priority
                  AND j.state = 'available' AND j.turn >= coalesce(q.turn, 0)
                ORDER BY j.turn DESC LIMIT 1), q.turn, 0) AS base
      FROM (SELECT DISTINCT domain_id, queue, priority FROM input WHERE run_at <= now()) f
      LEFT JOIN queue_queues q ON q.domain_id = platform_domain_id() AND q.name = f.queue
), inserted AS (
    INSERT INTO queue_jobs (domain_id, id, queue, kind, state, priority, turn, run_at, max_attempts, unique_key, unique_while,
                            batch_id, payload, trace)
    SELECT i.domain_id, i.id, i.queue, i.kind, CASE WHEN f.base IS NULL THEN 'scheduled' ELSE 'available' END, i.priority,
           f.base + (1::bigint << (3 * i.priority)) * row_number() OVER (PARTITION BY i.domain_id, i.queue, i.priority, f.base IS NULL ORDER BY i.ord),
           i.run_at, i.max_attempts, i.unique_key, i.unique_while, i.batch_id, i.payload, i.trace
      FROM input i
      LEFT JOIN flow f ON f.domain_id = i.domain_id AND f.queue = i.queue AND f.priority = i.priority AND i.run_at <= now()
    ON CONFLICT (domain_id, kind, unique_key) WHERE unique_key IS NOT NULL AND finished_at IS NULL DO NOTHING
    RETURNING domain_id, id, batch_id
), counted AS (
    INSERT INTO queue_job_batch_deltas (domain_id, batch_id, total)
    SELECT domain_id, batch_id, count(*) FROM inserted WHERE batch_id IS NOT NULL GROUP BY domain_id, batch_id
)
SELECT id FROM inserted
