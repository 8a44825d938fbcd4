-- Folds deltas into their batches. A sealed batch whose counts then add up is finished, and its completion job enqueued, by the
-- same statement. A batch that somebody is adding jobs to is left for the next time. Counts that cannot be (no statement here leads to
-- them) are cut down to what can: one batch holds up no others. Returns queues that got a completion job.
WITH due AS MATERIALIZED (
    SELECT DISTINCT d.domain_id, d.batch_id FROM (SELECT domain_id, batch_id FROM queue_job_batch_deltas LIMIT 5000) d
), locked AS MATERIALIZED (
    SELECT b.domain_id, b.id FROM queue_job_batches b JOIN due d ON d.domain_id = b.domain_id AND d.batch_id = b.id
     ORDER BY b.domain_id, b.id FOR NO KEY UPDATE OF b SKIP LOCKED
), taken AS (
    DELETE FROM queue_job_batch_deltas d USING locked l WHERE d.domain_id = l.domain_id AND d.batch_id = l.id
    RETURNING d.domain_id, d.batch_id, d.total, d.succeeded, d.failed, d.cancelled
), sums AS MATERIALIZED (
    SELECT domain_id, batch_id, sum(total)::bigint AS total, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
           sum(cancelled)::bigint AS cancelled
      FROM taken GROUP BY domain_id, batch_id
), folded AS (
    UPDATE queue_job_batches b
       SET total = greatest(b.total + s.total, greatest(b.succeeded + s.succeeded, 0) + greatest(b.failed + s.failed, 0)
                                               + greatest(b.cancelled + s.cancelled, 0)),
           succeeded = greatest(b.succeeded + s.succeeded, 0), failed = greatest(b.failed + s.failed, 0),
           cancelled = greatest(b.cancelled + s.cancelled, 0),
           finished_at = CASE WHEN b.sealed_at IS NOT NULL
                               AND b.total + s.total <= greatest(b.succeeded + s.succeeded, 0) + greatest(b.failed + s.failed, 0)
                                                        + greatest(b.cancelled + s.cancelled, 0) THEN now() END
      FROM sums s WHERE b.domain_id = s.domain_id AND b.id = s.batch_id AND b.finished_at IS NULL
    RETURNING b.*
), completion AS (
    INSERT INTO queue_jobs (domain_id, id, queue, kind, state, priority, turn, max_attempts, payload)
    SELECT f.domain_id, f.completion_job_id, f.completion_queue, f.completion_kind, 'available', f.completion_priority,
           coalesce((SELECT q.turn FROM queue_queues q WHERE q.domain_id = platform_domain_id() AND q.name = f.completion_queue), 0),
           f.completion_max_attempts, f.completion_payload
      FROM folded f WHERE f.finished_at = now() AND f.completion_kind IS NOT NULL
    ON CONFLICT (domain_id, id) DO NOTHING
    RETURNING queue
)
SELECT (SELECT count(*) FROM folded), ARRAY(SELECT DISTINCT queue FROM completion)
