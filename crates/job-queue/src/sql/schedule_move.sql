-- The firing at $3 is done with; the next one is at $4.
UPDATE queue_schedules SET last_at = $3::timestamptz, next_at = $4::timestamptz
 WHERE domain_id = $1::uuid AND name = $2::text
