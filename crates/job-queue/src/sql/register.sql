-- A worker comes, with a lease of $4 seconds. It gets an id that was never used.
INSERT INTO queue_workers (id, name, queues, concurrency, lease_until)
VALUES (gen_random_uuid(), left($1::text, 200), $2::text[], $3::int4, now() + make_interval(secs => $4::float8))
RETURNING id
