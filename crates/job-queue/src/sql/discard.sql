-- dead -> cancelled: nobody wants these dead letters any more. A batch goes on counting them as failed. Returns the ids.
UPDATE queue_jobs SET state = 'cancelled', finished_at = now()
 WHERE domain_id = coalesce($1::uuid, current_domain_id()) AND id = ANY ($2::uuid[]) AND state = 'dead'
RETURNING id
