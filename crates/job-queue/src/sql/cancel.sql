-- scheduled, available -> cancelled; a running job is asked to stop, which its worker hears within a second. Returns the ids.
WITH target AS MATERIALIZED (
    SELECT j.domain_id, j.id, j.state FROM queue_jobs j
     WHERE j.domain_id = coalesce($1::uuid, current_domain_id()) AND j.id = ANY ($2::uuid[]) AND j.finished_at IS NULL
     ORDER BY j.id FOR UPDATE OF j
), done AS (
    UPDATE queue_jobs j
       SET state = CASE WHEN t.state = 'running' THEN 'running' ELSE 'cancelled' END,
           finished_at = CASE WHEN t.state = 'running' THEN NULL ELSE now() END,
           cancel_requested_at = coalesce(j.cancel_requested_at, now())
      FROM target t
     WHERE j.domain_id = t.domain_id AND j.id = t.id
    RETURNING j.domain_id, j.id, j.batch_id, j.state
), counted AS (
    INSERT INTO queue_job_batch_deltas (domain_id, batch_id, cancelled)
    SELECT domain_id, batch_id, count(*) FROM done WHERE batch_id IS NOT NULL AND state = 'cancelled' GROUP BY domain_id, batch_id
)
SELECT id, CASE WHEN state = 'running' THEN pg_notify('job_queue', 'c') END FROM done
