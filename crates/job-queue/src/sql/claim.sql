-- available -> running, for at most $4 jobs of queue $2 from turn $3 on and below $5: not those of the domains $6, who have all the slots
-- they may have, or those of domain $7 alone. The lock on the worker's row keeps a worker that has been fenced from claiming, and whoever
-- fences it from overlooking what it is just claiming. (The rows are locked: saying again that they are available would let PostgreSQL
-- look for them in a whole index.)
WITH me AS MATERIALIZED (
    SELECT id FROM queue_workers
     WHERE domain_id = platform_domain_id() AND id = $1::uuid AND fenced_at IS NULL FOR KEY SHARE
), picked AS MATERIALIZED (
    SELECT j.ctid FROM queue_jobs j
     WHERE j.queue = $2::text AND j.state = 'available' AND j.turn >= $3::int8 AND j.turn < $5::int8
       AND j.domain_id <> ALL ($6::uuid[]) AND ($7::uuid IS NULL OR j.domain_id = $7::uuid)
       AND EXISTS (SELECT FROM me)
       AND NOT EXISTS (SELECT FROM queue_queues q
                        WHERE q.domain_id = platform_domain_id() AND q.name = $2::text AND q.paused_at IS NOT NULL)
     ORDER BY j.turn LIMIT $4::int8 FOR UPDATE OF j SKIP LOCKED
)
UPDATE queue_jobs j
   SET state = 'running', attempt = j.attempt + 1, worker_id = $1::uuid, started_at = now(),
       unique_key = CASE WHEN j.unique_while = 'waiting' THEN NULL ELSE j.unique_key END
 WHERE j.ctid = ANY (ARRAY(SELECT ctid FROM picked))
RETURNING j.domain_id, j.id, j.kind, j.attempt, j.max_attempts, j.turn, j.run_at, j.created_at, j.batch_id, j.trace,
          j.payload::text, extract(epoch FROM now() - j.run_at)::float8
