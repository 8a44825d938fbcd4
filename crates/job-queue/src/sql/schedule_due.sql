-- Schedules that are due, locked until they have been moved on.
SELECT s.domain_id, s.name, s.queue, s.kind, s.priority::int4, s.max_attempts, s.payload::text, s.cron, s.time_zone, s.missed,
       s.next_at, now()
  FROM queue_schedules s
 WHERE s.paused_at IS NULL AND s.next_at <= now()
 ORDER BY s.next_at LIMIT 20 FOR UPDATE SKIP LOCKED
