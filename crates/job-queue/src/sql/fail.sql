-- running -> scheduled (retry, or released with a delay), available (released), dead, cancelled; for those whose lease still holds.
-- A released lease costs no attempt: the maximum grows by one. Returns the ids.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int4[], $4::uuid[], $5::text[], $6::float8[], $7::float8[], $8::text[])
      AS i (domain_id, id, attempt, worker_id, outcome, delay, jitter, error)
), target AS MATERIALIZED (
    SELECT j.domain_id, j.id, i.outcome, i.error,
           i.delay * (1 - i.jitter * random()) AS delay,
           CASE WHEN i.outcome = 'cancelled' OR j.cancel_requested_at IS NOT NULL THEN 'cancelled'
                WHEN i.outcome = 'dead' OR (i.outcome = 'retry' AND j.attempt >= j.max_attempts) THEN 'dead'
                WHEN i.outcome = 'released' AND i.delay = 0 THEN 'available'
                ELSE 'scheduled' END AS state
      FROM input i
      JOIN queue_jobs j ON j.domain_id = i.domain_id AND j.id = i.id
                       AND j.worker_id = i.worker_id AND j.attempt = i.attempt
       FOR UPDATE OF j
), done AS (
    UPDATE queue_jobs j
       SET state = t.state, worker_id = NULL,
           turn = CASE WHEN t.state = 'available' THEN greatest(j.turn, (
                      SELECT q.turn FROM queue_queues q WHERE q.domain_id = platform_domain_id() AND q.name = j.queue)) ELSE j.turn END,
           run_at = CASE WHEN t.state = 'scheduled' THEN now() + make_interval(secs => t.delay) ELSE j.run_at END,
           finished_at = CASE WHEN t.state IN ('dead', 'cancelled') THEN now() END,
           max_attempts = j.max_attempts + CASE WHEN t.outcome = 'released' THEN 1 ELSE 0 END,
           errors = CASE WHEN jsonb_array_length(j.errors) >= 20 THEN j.errors - 0 ELSE j.errors END
                    || jsonb_build_object('attempt', j.attempt, 'at', now(), 'outcome', t.outcome, 'error', left(t.error, 2000))
      FROM target t
     WHERE j.domain_id = t.domain_id AND j.id = t.id
    RETURNING j.domain_id, j.id, j.batch_id, j.state
), counted AS (
    INSERT INTO queue_job_batch_deltas (domain_id, batch_id, failed, cancelled)
    SELECT domain_id, batch_id, count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'cancelled')
      FROM done WHERE batch_id IS NOT NULL AND state IN ('dead', 'cancelled') GROUP BY domain_id, batch_id
)
SELECT id FROM done
