-- Deletes at most $2 batches that finished more than $1 seconds ago and whose jobs are gone.
WITH old AS (
    SELECT b.domain_id, b.id FROM queue_job_batches b
     WHERE b.finished_at < now() - make_interval(secs => $1::float8)
       AND NOT EXISTS (SELECT FROM queue_jobs j WHERE j.domain_id = b.domain_id AND j.batch_id = b.id)
     ORDER BY b.finished_at LIMIT $2::int8 FOR UPDATE OF b SKIP LOCKED
)
DELETE FROM queue_job_batches b USING old o WHERE b.domain_id = o.domain_id AND b.id = o.id
