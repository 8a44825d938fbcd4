-- Batches that take jobs. They cannot be sealed, nor found finished, before this transaction ends.
SELECT b.id FROM queue_job_batches b
 WHERE b.domain_id = coalesce($1::uuid, current_domain_id()) AND b.id = $2::uuid AND b.sealed_at IS NULL
   FOR SHARE
