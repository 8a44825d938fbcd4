-- No more claims from queue $1, from the next one on. Running jobs go on.
INSERT INTO queue_queues (domain_id, name, paused_at) VALUES (platform_domain_id(), $1::text, now())
ON CONFLICT (domain_id, name) DO UPDATE SET paused_at = coalesce(queue_queues.paused_at, excluded.paused_at)
RETURNING domain_id AS id
