-- scheduled -> available, for at most $1 jobs whose time came at $2 or later; each at the end of its domain's part of the line.
-- Returns for each queue how many, and the latest of their times.
WITH due AS MATERIALIZED (
    SELECT j.domain_id, j.id, j.queue, j.priority, j.run_at FROM queue_jobs j
     WHERE j.state = 'scheduled' AND j.run_at <= now() AND j.run_at >= $2::timestamptz
     ORDER BY j.run_at LIMIT $1::int8 FOR UPDATE OF j SKIP LOCKED
), flow AS MATERIALIZED (
    SELECT f.domain_id, f.queue, f.priority, coalesce((
               SELECT j.turn FROM queue_jobs j
                WHERE j.domain_id = f.domain_id AND j.queue = f.queue AND j.priority = f.priority
                  AND j.state = 'available' AND j.turn >= coalesce(q.turn, 0)
                ORDER BY j.turn DESC LIMIT 1), q.turn, 0) AS base
      FROM (SELECT DISTINCT domain_id, queue, priority FROM due) f
      LEFT JOIN queue_queues q ON q.domain_id = platform_domain_id() AND q.name = f.queue
), placed AS MATERIALIZED (
    SELECT d.domain_id, d.id,
           f.base + (1::bigint << (3 * d.priority)) * row_number() OVER (PARTITION BY d.domain_id, d.queue, d.priority ORDER BY d.run_at) AS turn
      FROM due d JOIN flow f ON f.domain_id = d.domain_id AND f.queue = d.queue AND f.priority = d.priority
), done AS (
    UPDATE queue_jobs j SET state = 'available', turn = p.turn
      FROM placed p WHERE j.domain_id = p.domain_id AND j.id = p.id
    RETURNING j.queue, j.run_at
)
SELECT queue, count(*), max(run_at) FROM done GROUP BY queue
