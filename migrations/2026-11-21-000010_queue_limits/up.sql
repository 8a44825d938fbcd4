-- What no row of the queue may be, beyond 000008: one that every worker would stumble over, whichever domain wrote it; and a place in
-- the line that a domain gives itself.

-- verify: changes queue_jobs because attempts that nobody explained get an explanation, and times that are none are moved
SET LOCAL ROLE plinth_system;
SET LOCAL row_security = on;
UPDATE queue_jobs j SET errors = (
    SELECT coalesce(jsonb_agg(CASE
               WHEN back <= jsonb_array_length(j.errors) THEN j.errors -> (jsonb_array_length(j.errors) - back)
               ELSE jsonb_build_object('attempt', ended.attempts - back + 1, 'at', j.created_at, 'outcome', 'failed',
                                       'error', 'not recorded')
           END ORDER BY back DESC), '[]')
      FROM (SELECT j.attempt - CASE WHEN j.state IN ('running', 'completed') THEN 1 ELSE 0 END) ended (attempts),
           generate_series(1, least(ended.attempts, 20)) back)
 WHERE jsonb_array_length(errors) <> least(attempt - CASE WHEN state IN ('running', 'completed') THEN 1 ELSE 0 END, 20);
UPDATE queue_jobs SET run_at = least(greatest(run_at, '2000-01-01 00:00:00+00'), '9999-12-31 00:00:00+00')
 WHERE run_at < '2000-01-01 00:00:00+00' OR run_at >= '10000-01-01 00:00:00+00';
SET LOCAL row_security = off;
RESET ROLE;

-- lint: allow(constraint-missing-not-valid) because no release has the table yet
ALTER TABLE queue_jobs
    -- Turns are added to: the numbers must not run out.
    ADD CONSTRAINT queue_jobs_turn_limit_check CHECK (turn < 4611686018427387904),
    ADD CONSTRAINT queue_jobs_run_at_check CHECK (run_at >= '2000-01-01 00:00:00+00' AND run_at < '10000-01-01 00:00:00+00'),
    ADD CONSTRAINT queue_jobs_payload_check CHECK (pg_column_size(payload) <= 1048576),
    -- Each attempt that did not complete the job is explained; the last twenty explanations are kept.
    ADD CONSTRAINT queue_jobs_explained_check CHECK (
        jsonb_array_length(errors) = least(attempt - CASE WHEN state IN ('running', 'completed') THEN 1 ELSE 0 END, 20)
    );

-- What becomes a job must be good enough for one.
-- lint: allow(constraint-missing-not-valid) because no release has the table yet
ALTER TABLE queue_job_batches
    ADD CONSTRAINT queue_job_batches_payload_check CHECK (pg_column_size(completion_payload) <= 1048576);
-- lint: allow(constraint-missing-not-valid) because no release has the table yet
ALTER TABLE queue_schedules
    ADD CONSTRAINT queue_schedules_payload_check CHECK (pg_column_size(payload) <= 1048576),
    ADD CONSTRAINT queue_schedules_next_check CHECK (next_at < '10000-01-01 00:00:00+00');

-- No more than a statement can have done; only what is retried is taken off again.
-- lint: allow(constraint-missing-not-valid) because no release has the table yet
ALTER TABLE queue_job_batch_deltas
    ADD CONSTRAINT queue_job_batch_deltas_total_check CHECK (total BETWEEN 0 AND 10000000),
    ADD CONSTRAINT queue_job_batch_deltas_succeeded_check CHECK (succeeded BETWEEN 0 AND 10000000),
    ADD CONSTRAINT queue_job_batch_deltas_failed_check CHECK (failed BETWEEN -10000000 AND 10000000),
    ADD CONSTRAINT queue_job_batch_deltas_cancelled_check CHECK (cancelled BETWEEN -10000000 AND 10000000);

-- As many rows come and go here as in queue_jobs.
ALTER TABLE queue_job_batch_deltas SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);

-- Whoever is not the system gets the place that is due, whatever was asked for: right behind the last waiting job of the same domain,
-- queue and priority, or behind the turn that is being served. The statements of job-queue compute the same.
CREATE FUNCTION queue_jobs_place() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    served bigint := coalesce((SELECT q.turn FROM queue_queues q WHERE q.domain_id = platform_domain_id() AND q.name = new.queue), 0);
BEGIN
    new.turn := coalesce((
        SELECT j.turn FROM queue_jobs j
         WHERE j.domain_id = new.domain_id AND j.queue = new.queue AND j.priority = new.priority
           AND j.state = 'available' AND j.turn >= served
         ORDER BY j.turn DESC LIMIT 1), served) + (1::bigint << (3 * new.priority));
    RETURN new;
END
$$;
COMMENT ON FUNCTION queue_jobs_place() IS 'A job''s place in the line, for all but the system: no domain gives itself a better one.';
CREATE TRIGGER queue_jobs_place BEFORE INSERT OR UPDATE OF turn ON queue_jobs FOR EACH ROW
    WHEN (new.state = 'available' AND NOT pg_has_role('plinth_system', 'MEMBER'))
    EXECUTE FUNCTION queue_jobs_place();
