-- Seconds until the next scheduled job that is due at $1 or later, and until the next schedule fires; and the time.
SELECT (SELECT extract(epoch FROM run_at - clock_timestamp())::float8 FROM queue_jobs
         WHERE state = 'scheduled' AND run_at >= $1::timestamptz ORDER BY run_at LIMIT 1),
       (SELECT extract(epoch FROM next_at - clock_timestamp())::float8 FROM queue_schedules
         WHERE paused_at IS NULL AND next_at IS NOT NULL ORDER BY next_at LIMIT 1),
       now()
