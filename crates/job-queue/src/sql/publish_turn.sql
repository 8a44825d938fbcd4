-- How far queue $1 has come.
INSERT INTO queue_queues (name, turn) VALUES ($1::text, $2::int8)
ON CONFLICT (domain_id, name) DO UPDATE SET turn = excluded.turn WHERE queue_queues.turn < excluded.turn
