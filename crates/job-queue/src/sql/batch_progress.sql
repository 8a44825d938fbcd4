-- A batch's exact counts: its row and what is not folded in yet, seen at one moment.
SELECT b.name, b.total + coalesce(d.total, 0), b.succeeded + coalesce(d.succeeded, 0), b.failed + coalesce(d.failed, 0),
       b.cancelled + coalesce(d.cancelled, 0), b.sealed_at, b.finished_at
  FROM queue_job_batches b
  LEFT JOIN LATERAL (
      SELECT sum(d.total)::bigint AS total, sum(d.succeeded)::bigint AS succeeded, sum(d.failed)::bigint AS failed,
             sum(d.cancelled)::bigint AS cancelled
        FROM queue_job_batch_deltas d WHERE d.domain_id = b.domain_id AND d.batch_id = b.id) d ON true
 WHERE b.domain_id = $1::uuid AND b.id = $2::uuid
