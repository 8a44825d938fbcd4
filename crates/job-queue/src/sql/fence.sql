-- A worker fences itself before it goes. The lock waits for a claim that is still under way under one of these ids, so that what it
-- takes is not overlooked.
WITH going AS MATERIALIZED (
    SELECT id FROM queue_workers
     WHERE domain_id = platform_domain_id() AND id = ANY ($1::uuid[])
     ORDER BY id FOR UPDATE
)
UPDATE queue_workers w SET fenced_at = coalesce(w.fenced_at, now())
  FROM going g WHERE w.domain_id = platform_domain_id() AND w.id = g.id
RETURNING w.id
