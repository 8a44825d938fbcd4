-- A batch, open for $4 seconds.
INSERT INTO queue_job_batches (domain_id, id, name, open_until, completion_queue, completion_kind, completion_priority,
                               completion_max_attempts, completion_payload, completion_job_id)
VALUES (coalesce($1::uuid, current_domain_id()), $2::uuid, $3::text, now() + make_interval(secs => $4::float8),
        $5::text, $6::text, $7::int4, $8::int4, $9::text::jsonb, $10::uuid)
RETURNING id
