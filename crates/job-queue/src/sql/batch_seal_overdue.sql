-- Batches that nobody sealed in time.
WITH overdue AS (
    SELECT domain_id, id FROM queue_job_batches WHERE sealed_at IS NULL AND open_until < now()
     ORDER BY open_until LIMIT 100 FOR UPDATE SKIP LOCKED
), sealed AS (
    UPDATE queue_job_batches b SET sealed_at = now() FROM overdue o WHERE b.domain_id = o.domain_id AND b.id = o.id
    RETURNING b.domain_id, b.id
), looked AS (
    INSERT INTO queue_job_batch_deltas (domain_id, batch_id) SELECT domain_id, id FROM sealed
)
SELECT id FROM sealed
