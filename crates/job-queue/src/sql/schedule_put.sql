-- Defines a schedule, or defines it anew. The next firing stays as it is unless the times changed.
INSERT INTO queue_schedules AS s (domain_id, name, queue, kind, priority, max_attempts, payload, cron, time_zone, missed, next_at)
VALUES (coalesce($1::uuid, current_domain_id()), $2::text, $3::text, $4::text, $5::int4, $6::int4, $7::text::jsonb, $8::text,
        $9::text, $10::text, $11::timestamptz)
ON CONFLICT (domain_id, name) DO UPDATE
   SET queue = excluded.queue, kind = excluded.kind, priority = excluded.priority, max_attempts = excluded.max_attempts,
       payload = excluded.payload, cron = excluded.cron, time_zone = excluded.time_zone, missed = excluded.missed,
       next_at = CASE WHEN (s.cron, s.time_zone) = (excluded.cron, excluded.time_zone) THEN s.next_at ELSE excluded.next_at END,
       updated_at = now()
 WHERE (s.queue, s.kind, s.priority, s.max_attempts, s.payload, s.cron, s.time_zone, s.missed)
       IS DISTINCT FROM (excluded.queue, excluded.kind, excluded.priority, excluded.max_attempts, excluded.payload, excluded.cron,
                         excluded.time_zone, excluded.missed)
