-- running -> completed, for those whose lease still holds: only running jobs have a worker_id. (Saying state = 'running' as well would
-- let PostgreSQL look through all running jobs instead of using the key.) Returns their ids.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int4[], $4::uuid[]) AS i (domain_id, id, attempt, worker_id)
), done AS (
    UPDATE queue_jobs j
       SET state = 'completed', finished_at = now(), worker_id = NULL
      FROM input i
     WHERE j.domain_id = i.domain_id AND j.id = i.id
       AND j.worker_id = i.worker_id AND j.attempt = i.attempt
    RETURNING j.domain_id, j.id, j.batch_id
), counted AS (
    INSERT INTO queue_job_batch_deltas (domain_id, batch_id, succeeded)
    SELECT domain_id, batch_id, count(*) FROM done WHERE batch_id IS NOT NULL GROUP BY domain_id, batch_id
)
SELECT id FROM done
