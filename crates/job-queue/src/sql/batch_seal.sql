-- No more jobs for a batch. The empty delta makes a worker look whether it is finished.
WITH sealed AS (
    UPDATE queue_job_batches SET sealed_at = now()
     WHERE domain_id = coalesce($1::uuid, current_domain_id()) AND id = $2::uuid AND sealed_at IS NULL
    RETURNING domain_id, id
), looked AS (
    INSERT INTO queue_job_batch_deltas (domain_id, batch_id) SELECT domain_id, id FROM sealed
)
SELECT id FROM sealed
