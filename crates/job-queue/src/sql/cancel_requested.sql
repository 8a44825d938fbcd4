-- Running jobs of the workers $1 that were asked to stop.
SELECT id, attempt FROM queue_jobs
 WHERE state = 'running' AND cancel_requested_at IS NOT NULL AND worker_id = ANY ($1::uuid[])
