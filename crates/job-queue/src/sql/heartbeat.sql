-- Renews the leases of $1 for $2 seconds. Returns those that still hold; a worker that is not among them has been fenced. A lease
-- that ran out is renewed too, as long as nobody has acted on that: an outage of the database costs nobody their jobs.
UPDATE queue_workers
   SET heartbeat_at = now(), lease_until = now() + make_interval(secs => $2::float8)
 WHERE domain_id = platform_domain_id() AND id = ANY ($1::uuid[]) AND fenced_at IS NULL
RETURNING id
