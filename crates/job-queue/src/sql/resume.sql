-- Queue $1 is served again.
WITH resumed AS (
    UPDATE queue_queues SET paused_at = NULL
     WHERE domain_id = platform_domain_id() AND name = $1::text AND paused_at IS NOT NULL
    RETURNING domain_id, name
)
SELECT domain_id AS id, pg_notify('job_queue', 'q ' || name) FROM resumed
