-- Whether a claim from turn $2 on would find something: looking writes nothing, and a claim locks the worker's row.
SELECT (SELECT j.turn FROM queue_jobs j
         WHERE j.queue = $1::text AND j.state = 'available' AND j.turn >= $2::int8 ORDER BY j.turn LIMIT 1) IS NOT NULL
