-- A fenced worker is forgotten once no job is left under its lease.
DELETE FROM queue_workers w
 WHERE w.domain_id = platform_domain_id() AND w.id = ANY ($1::uuid[]) AND w.fenced_at IS NOT NULL
   AND NOT EXISTS (SELECT FROM queue_jobs j WHERE j.state = 'running' AND j.worker_id = w.id)
