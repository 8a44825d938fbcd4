-- Deletes at most $3 jobs in the finished state $1 that finished at $4 or later and more than $2 seconds ago. No other state can be
-- named: waiting and running jobs have no finished_at. Returns how many, and when the last of them finished.
WITH old AS (
    SELECT j.domain_id, j.id FROM queue_jobs j
     WHERE j.finished_at IS NOT NULL AND j.state = $1::text AND j.finished_at < now() - make_interval(secs => $2::float8)
       AND j.finished_at >= $4::timestamptz
     ORDER BY j.finished_at LIMIT $3::int8 FOR UPDATE OF j SKIP LOCKED
), gone AS (
    DELETE FROM queue_jobs j USING old o WHERE j.domain_id = o.domain_id AND j.id = o.id
    RETURNING j.finished_at
)
SELECT count(*), max(finished_at) FROM gone
