-- dead, cancelled -> available, with $3 more attempts. A batch that is not finished counts the job anew; one that is lets go of
-- it. A job whose unique key another one holds by now stays as it is. Returns the ids.
WITH target AS MATERIALIZED (
    SELECT j.domain_id, j.id, j.state, j.batch_id FROM queue_jobs j
     WHERE j.domain_id = coalesce($1::uuid, current_domain_id()) AND j.id = ANY ($2::uuid[]) AND j.state IN ('dead', 'cancelled')
       AND NOT EXISTS (SELECT FROM queue_jobs o WHERE o.domain_id = j.domain_id AND o.kind = j.kind
                         AND o.unique_key = j.unique_key AND o.finished_at IS NULL)
     ORDER BY j.id FOR UPDATE OF j
), counting AS MATERIALIZED (
    SELECT b.domain_id, b.id FROM queue_job_batches b
     WHERE (b.domain_id, b.id) IN (SELECT domain_id, batch_id FROM target WHERE batch_id IS NOT NULL) AND b.finished_at IS NULL
       FOR SHARE
), done AS (
    UPDATE queue_jobs j
       SET state = 'available', finished_at = NULL, cancel_requested_at = NULL, run_at = now(),
           max_attempts = j.attempt + $3::int4,
           turn = coalesce((SELECT q.turn FROM queue_queues q WHERE q.domain_id = platform_domain_id() AND q.name = j.queue), 0)
                  + (1::bigint << (3 * j.priority)),
           batch_id = (SELECT c.id FROM counting c WHERE c.domain_id = j.domain_id AND c.id = j.batch_id)
      FROM target t
     WHERE j.domain_id = t.domain_id AND j.id = t.id
    RETURNING j.domain_id, j.id, j.batch_id, t.state AS was
), counted AS (
    INSERT INTO queue_job_batch_deltas (domain_id, batch_id, failed, cancelled)
    SELECT domain_id, batch_id, -count(*) FILTER (WHERE was = 'dead'), -count(*) FILTER (WHERE was = 'cancelled')
      FROM done WHERE batch_id IS NOT NULL GROUP BY domain_id, batch_id
)
SELECT id FROM done
