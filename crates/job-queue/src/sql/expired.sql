-- Workers whose lease ran out, locked until the end of the transaction and fenced: from here on they can claim nothing. Not those of the
-- ids $1, who ask: they are alive, if late.
WITH expired AS (
    SELECT id FROM queue_workers
     WHERE domain_id = platform_domain_id() AND lease_until < now() AND id <> ALL ($1::uuid[])
     ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED
)
UPDATE queue_workers w SET fenced_at = coalesce(w.fenced_at, now())
  FROM expired e WHERE w.domain_id = platform_domain_id() AND w.id = e.id
RETURNING w.id
