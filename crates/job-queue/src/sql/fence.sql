-- A worker fences itself before it goes.
UPDATE queue_workers SET fenced_at = coalesce(fenced_at, now())
 WHERE domain_id = platform_domain_id() AND id = ANY ($1::uuid[])
RETURNING id
