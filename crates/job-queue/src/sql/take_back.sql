-- running -> available, scheduled, dead or cancelled, for all jobs of the fenced workers $1. $2 says why: 'lost' (the lease ran out;
-- the attempt counts, so that a job that kills its workers ends) or 'released' (handed back; it does not). A first attempt is
-- repeated at once, later ones after 2, 4, 8 … seconds, an hour at most. What the worker is just finishing in a transaction of its
-- own is left for the next time.
WITH target AS MATERIALIZED (
    SELECT j.domain_id, j.id,
           CASE WHEN j.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN $2::text = 'lost' AND j.attempt >= j.max_attempts THEN 'dead'
                WHEN $2::text = 'lost' AND j.attempt > 1 THEN 'scheduled'
                ELSE 'available' END AS state
      FROM queue_jobs j
     WHERE j.state = 'running' AND j.worker_id = ANY ($1::uuid[])
       FOR UPDATE OF j SKIP LOCKED
), done AS (
    UPDATE queue_jobs j
       SET state = t.state, worker_id = NULL,
           turn = coalesce((SELECT q.turn FROM queue_queues q WHERE q.domain_id = platform_domain_id() AND q.name = j.queue), j.turn),
           run_at = CASE WHEN t.state = 'scheduled' THEN now() + make_interval(secs => least(power(2, least(j.attempt - 1, 12)), 3600) * (1 - 0.25 * random()))
                         ELSE j.run_at END,
           finished_at = CASE WHEN t.state IN ('dead', 'cancelled') THEN now() END,
           max_attempts = j.max_attempts + CASE WHEN $2::text = 'released' THEN 1 ELSE 0 END,
           errors = CASE WHEN jsonb_array_length(j.errors) >= 20 THEN j.errors - 0 ELSE j.errors END
                    || jsonb_build_object('attempt', j.attempt, 'at', now(), 'outcome', $2::text, 'error',
                           CASE WHEN $2::text = 'lost' THEN 'the lease of worker ' || j.worker_id || ' ran out'
                                ELSE 'worker ' || j.worker_id || ' handed its lease back' END)
      FROM target t
     WHERE j.domain_id = t.domain_id AND j.id = t.id
    RETURNING j.domain_id, j.id, j.batch_id, j.state
), counted AS (
    INSERT INTO queue_job_batch_deltas (domain_id, batch_id, failed, cancelled)
    SELECT domain_id, batch_id, count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'cancelled')
      FROM done WHERE batch_id IS NOT NULL AND state IN ('dead', 'cancelled') GROUP BY domain_id, batch_id
)
SELECT id FROM done
