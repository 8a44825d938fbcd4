-- The first turn at which a claim from $2 on, below $3 and not for the domains $4, would find something: looking writes nothing, and a
-- claim locks the worker's row.
SELECT (SELECT j.turn FROM queue_jobs j
         WHERE j.queue = $1::text AND j.state = 'available' AND j.turn >= $2::int8 AND j.turn < $3::int8
           AND j.domain_id <> ALL ($4::uuid[])
         ORDER BY j.turn LIMIT 1)
