-- The job queue: jobs, batches, schedules, and who works on them. The statements that move jobs are in crates/job-queue/src/sql;
-- its README says what each guarantees.

CREATE TABLE queue_queues (
    domain_id uuid NOT NULL DEFAULT platform_domain_id() REFERENCES domains (id),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 63),
    turn bigint NOT NULL DEFAULT 0 CHECK (turn >= 0),
    paused_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, name),
    CHECK (domain_id = platform_domain_id())
);
COMMENT ON TABLE queue_queues IS 'A queue: how far it has come, and whether it is paused. One for all domains.';
COMMENT ON COLUMN queue_queues.domain_id IS 'Always the platform domain.';
COMMENT ON COLUMN queue_queues.name IS 'Name of the queue.';
COMMENT ON COLUMN queue_queues.turn IS 'Turn that is being served, a little behind; a domain without waiting jobs queues up right behind it.';
COMMENT ON COLUMN queue_queues.paused_at IS 'When the queue was paused; NULL while it is served.';
COMMENT ON COLUMN queue_queues.created_at IS 'When the row was made.';

-- Everybody reads how far a queue has come: the next job's turn depends on it. Operators pause.
ALTER TABLE queue_queues ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue_queues FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON queue_queues TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY shared ON queue_queues FOR SELECT TO plinth_app
    USING (domain_id = platform_domain_id() AND (SELECT current_domain_id()) IS NOT NULL);
CREATE POLICY system ON queue_queues TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT (domain_id, name, paused_at), UPDATE (paused_at) ON queue_queues TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_queues TO plinth_system;

CREATE TABLE queue_workers (
    domain_id uuid NOT NULL DEFAULT platform_domain_id() REFERENCES domains (id),
    id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    queues text[] NOT NULL CHECK (cardinality(queues) > 0),
    concurrency integer NOT NULL CHECK (concurrency > 0),
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    fenced_at timestamptz,
    PRIMARY KEY (domain_id, id),
    CHECK (domain_id = platform_domain_id()),
    CHECK (lease_until > heartbeat_at)
);
COMMENT ON TABLE queue_workers IS 'A worker and its lease on all jobs that it runs: a heartbeat renews this one row, whatever their number.';
COMMENT ON COLUMN queue_workers.domain_id IS 'Always the platform domain.';
COMMENT ON COLUMN queue_workers.id IS 'Half of the lease token (the attempt is the other); never used twice.';
COMMENT ON COLUMN queue_workers.name IS 'Where it runs, for people.';
COMMENT ON COLUMN queue_workers.queues IS 'Queues that it serves.';
COMMENT ON COLUMN queue_workers.concurrency IS 'How many jobs it runs at once.';
COMMENT ON COLUMN queue_workers.started_at IS 'When the worker started.';
COMMENT ON COLUMN queue_workers.heartbeat_at IS 'Last heartbeat.';
COMMENT ON COLUMN queue_workers.lease_until IS 'From then on another worker may take its jobs away.';
COMMENT ON COLUMN queue_workers.fenced_at IS 'When its jobs were taken away: it can claim nothing more, and what it still finishes is refused.';

ALTER TABLE queue_workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue_workers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON queue_workers TO plinth_app
    USING (domain_id = (SELECT current_domain_id())) WITH CHECK (domain_id = (SELECT current_domain_id()));
CREATE POLICY system ON queue_workers TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT ON queue_workers TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_workers TO plinth_system;

CREATE TABLE queue_job_batches (
    domain_id uuid NOT NULL DEFAULT current_domain_id() REFERENCES domains (id),
    id uuid NOT NULL,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    total bigint NOT NULL DEFAULT 0 CHECK (total >= 0),
    succeeded bigint NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
    failed bigint NOT NULL DEFAULT 0 CHECK (failed >= 0),
    cancelled bigint NOT NULL DEFAULT 0 CHECK (cancelled >= 0),
    open_until timestamptz NOT NULL,
    sealed_at timestamptz,
    finished_at timestamptz,
    completion_queue text CHECK (char_length(completion_queue) BETWEEN 1 AND 63),
    completion_kind text CHECK (char_length(completion_kind) BETWEEN 1 AND 100),
    completion_priority smallint CHECK (completion_priority BETWEEN 0 AND 3),
    completion_max_attempts integer CHECK (completion_max_attempts > 0),
    completion_payload jsonb,
    completion_job_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    CHECK (succeeded + failed + cancelled <= total),
    CHECK (finished_at IS NULL OR (sealed_at IS NOT NULL AND succeeded + failed + cancelled = total)),
    -- All of the completion job, or nothing.
    CHECK (num_nonnulls(completion_queue, completion_kind, completion_priority, completion_max_attempts, completion_payload,
                        completion_job_id) IN (0, 6)),
    CONSTRAINT queue_job_batches_payload_check CHECK (pg_column_size(completion_payload) <= 1048576)
);
COMMENT ON TABLE queue_job_batches IS 'Jobs that are counted together. Its counts are those here plus queue_job_batch_deltas.';
COMMENT ON COLUMN queue_job_batches.domain_id IS 'Domain that the row belongs to.';
COMMENT ON COLUMN queue_job_batches.id IS 'UUIDv7.';
COMMENT ON COLUMN queue_job_batches.name IS 'What the batch is for, for people.';
COMMENT ON COLUMN queue_job_batches.total IS 'Jobs put in.';
COMMENT ON COLUMN queue_job_batches.succeeded IS 'Jobs completed.';
COMMENT ON COLUMN queue_job_batches.failed IS 'Jobs that used up their attempts.';
COMMENT ON COLUMN queue_job_batches.cancelled IS 'Jobs cancelled.';
COMMENT ON COLUMN queue_job_batches.open_until IS 'The batch seals itself then, so that one whose maker has gone finishes too.';
COMMENT ON COLUMN queue_job_batches.sealed_at IS 'From then on no job is added.';
COMMENT ON COLUMN queue_job_batches.finished_at IS 'When the last job of the sealed batch had finished.';
COMMENT ON COLUMN queue_job_batches.completion_queue IS 'Queue of the job that is enqueued when the batch finishes; NULL for no such job.';
COMMENT ON COLUMN queue_job_batches.completion_kind IS 'Kind of that job.';
COMMENT ON COLUMN queue_job_batches.completion_priority IS 'Priority of that job.';
COMMENT ON COLUMN queue_job_batches.completion_max_attempts IS 'Maximum attempts of that job.';
COMMENT ON COLUMN queue_job_batches.completion_payload IS 'Payload of that job.';
COMMENT ON COLUMN queue_job_batches.completion_job_id IS 'Id of that job, chosen beforehand, so that there is never a second one.';
COMMENT ON COLUMN queue_job_batches.created_at IS 'When the row was made.';
CREATE INDEX queue_job_batches_open_idx ON queue_job_batches (open_until) WHERE sealed_at IS NULL;
CREATE INDEX queue_job_batches_finished_idx ON queue_job_batches (finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE queue_job_batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue_job_batches FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON queue_job_batches TO plinth_app
    USING (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id())
    WITH CHECK (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id());
CREATE POLICY system ON queue_job_batches TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT,
      INSERT (domain_id, id, name, open_until, completion_queue, completion_kind, completion_priority, completion_max_attempts,
              completion_payload, completion_job_id),
      UPDATE (sealed_at)
    ON queue_job_batches TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_job_batches TO plinth_system;

CREATE TABLE queue_job_batch_deltas (
    domain_id uuid NOT NULL DEFAULT current_domain_id(),
    batch_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    -- No more than a statement can have done; only what is retried is taken off again.
    total bigint NOT NULL DEFAULT 0 CHECK (total BETWEEN 0 AND 10000000),
    succeeded bigint NOT NULL DEFAULT 0 CHECK (succeeded BETWEEN 0 AND 10000000),
    failed bigint NOT NULL DEFAULT 0 CHECK (failed BETWEEN -10000000 AND 10000000),
    cancelled bigint NOT NULL DEFAULT 0 CHECK (cancelled BETWEEN -10000000 AND 10000000),
    PRIMARY KEY (domain_id, batch_id, id),
    FOREIGN KEY (domain_id, batch_id) REFERENCES queue_job_batches (domain_id, id) ON DELETE CASCADE
) WITH (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0
);
COMMENT ON TABLE queue_job_batch_deltas IS 'Changes of a batch''s counts that are not yet in its row. Workers fold them in within a moment.';
COMMENT ON COLUMN queue_job_batch_deltas.domain_id IS 'Domain of the batch.';
COMMENT ON COLUMN queue_job_batch_deltas.batch_id IS 'The batch.';
COMMENT ON COLUMN queue_job_batch_deltas.id IS 'Counts the changes.';
COMMENT ON COLUMN queue_job_batch_deltas.total IS 'To be added to total.';
COMMENT ON COLUMN queue_job_batch_deltas.succeeded IS 'To be added to succeeded.';
COMMENT ON COLUMN queue_job_batch_deltas.failed IS 'To be added to failed.';
COMMENT ON COLUMN queue_job_batch_deltas.cancelled IS 'To be added to cancelled.';

ALTER TABLE queue_job_batch_deltas ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue_job_batch_deltas FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON queue_job_batch_deltas TO plinth_app
    USING (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id())
    WITH CHECK (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id());
CREATE POLICY system ON queue_job_batch_deltas TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON queue_job_batch_deltas TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_job_batch_deltas TO plinth_system;

CREATE TABLE queue_jobs (
    domain_id uuid NOT NULL DEFAULT current_domain_id() REFERENCES domains (id),
    id uuid NOT NULL,
    queue text NOT NULL CHECK (char_length(queue) BETWEEN 1 AND 63),
    kind text NOT NULL CHECK (char_length(kind) BETWEEN 1 AND 100),
    state text NOT NULL CHECK (state IN ('scheduled', 'available', 'running', 'completed', 'dead', 'cancelled')),
    priority smallint NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 3),
    turn bigint CHECK (turn >= 0),
    run_at timestamptz NOT NULL DEFAULT now(),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    worker_id uuid,
    started_at timestamptz,
    finished_at timestamptz,
    cancel_requested_at timestamptz,
    unique_key text CHECK (char_length(unique_key) BETWEEN 1 AND 200),
    unique_while text CHECK (unique_while IN ('waiting', 'unfinished')),
    batch_id uuid,
    payload jsonb NOT NULL,
    errors jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(errors) = 'array'),
    trace text CHECK (char_length(trace) <= 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, id),
    FOREIGN KEY (domain_id, batch_id) REFERENCES queue_job_batches (domain_id, id),
    -- What no job may be.
    CONSTRAINT queue_jobs_attempts_check CHECK (attempt <= max_attempts),
    CONSTRAINT queue_jobs_waiting_check CHECK (state NOT IN ('scheduled', 'available') OR attempt < max_attempts),
    CONSTRAINT queue_jobs_available_check CHECK (state <> 'available' OR turn IS NOT NULL),
    CONSTRAINT queue_jobs_running_check CHECK ((state = 'running') = (worker_id IS NOT NULL)),
    CONSTRAINT queue_jobs_started_check CHECK ((attempt > 0) = (started_at IS NOT NULL)),
    CONSTRAINT queue_jobs_attempted_check CHECK (attempt > 0 OR state NOT IN ('running', 'completed', 'dead')),
    CONSTRAINT queue_jobs_finished_check CHECK ((state IN ('completed', 'dead', 'cancelled')) = (finished_at IS NOT NULL)),
    CONSTRAINT queue_jobs_cancel_check CHECK (cancel_requested_at IS NULL OR state NOT IN ('scheduled', 'available')),
    CONSTRAINT queue_jobs_unique_check CHECK (unique_key IS NULL OR unique_while IS NOT NULL),
    -- Each attempt that did not complete the job is explained; the last twenty explanations are kept.
    CONSTRAINT queue_jobs_explained_check CHECK (
        jsonb_array_length(errors) = least(attempt - CASE WHEN state IN ('running', 'completed') THEN 1 ELSE 0 END, 20)
    ),
    -- What every worker would stumble over. Turns are added to: the numbers must not run out.
    CONSTRAINT queue_jobs_turn_limit_check CHECK (turn < 4611686018427387904),
    CONSTRAINT queue_jobs_run_at_check CHECK (run_at >= '2000-01-01 00:00:00+00' AND run_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT queue_jobs_payload_check CHECK (pg_column_size(payload) <= 1048576)
) WITH (
    -- Most rows live for seconds: vacuum early, and without pauses that would let the dead ones pile up.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 5000
);
COMMENT ON TABLE queue_jobs IS 'Work to be done later, at least once.';
COMMENT ON COLUMN queue_jobs.domain_id IS 'Domain that the job acts in; the platform domain for jobs of the installation.';
COMMENT ON COLUMN queue_jobs.id IS 'UUIDv7.';
COMMENT ON COLUMN queue_jobs.queue IS 'Queue that the job stands in.';
COMMENT ON COLUMN queue_jobs.kind IS 'Names the handler.';
COMMENT ON COLUMN queue_jobs.state IS 'scheduled (its time has not come), available, running, completed, dead (attempts used up, or given up), cancelled.';
COMMENT ON COLUMN queue_jobs.priority IS '0 urgent, 1 high, 2 normal, 3 low: a domain''s jobs of one level are served eight times as often as those of the next.';
COMMENT ON COLUMN queue_jobs.turn IS 'Place in the queue. Each domain''s next job stands one step behind its last, so that domains alternate.';
COMMENT ON COLUMN queue_jobs.run_at IS 'Not to be run before.';
COMMENT ON COLUMN queue_jobs.attempt IS 'How often the job was claimed; with worker_id the lease token.';
COMMENT ON COLUMN queue_jobs.max_attempts IS 'Claims after which a failure is final. Grows by one when a lease is handed back unused.';
COMMENT ON COLUMN queue_jobs.worker_id IS 'Worker that runs it. No foreign key: that would cost a check for each claim, and the claim locks the worker''s row.';
COMMENT ON COLUMN queue_jobs.started_at IS 'When the last attempt was claimed.';
COMMENT ON COLUMN queue_jobs.finished_at IS 'When it was completed, given up or cancelled.';
COMMENT ON COLUMN queue_jobs.cancel_requested_at IS 'When somebody asked the running job to stop.';
COMMENT ON COLUMN queue_jobs.unique_key IS 'No second unfinished job of the domain and kind has the same.';
COMMENT ON COLUMN queue_jobs.unique_while IS 'waiting: the key is dropped when the job starts; unfinished: it is held until the job is finished.';
COMMENT ON COLUMN queue_jobs.batch_id IS 'Batch that the job is counted in.';
COMMENT ON COLUMN queue_jobs.payload IS 'What the handler is given.';
COMMENT ON COLUMN queue_jobs.errors IS 'How the last twenty attempts that did not complete the job ended: attempt, at, outcome, error.';
COMMENT ON COLUMN queue_jobs.trace IS 'W3C traceparent of whoever enqueued it.';
COMMENT ON COLUMN queue_jobs.created_at IS 'When the row was made.';
-- The line itself.
CREATE INDEX queue_jobs_claim_idx ON queue_jobs (queue, turn) WHERE state = 'available';
-- The last turn of a domain, for its next job.
CREATE INDEX queue_jobs_flow_idx ON queue_jobs (domain_id, queue, priority, turn) WHERE state = 'available';
CREATE INDEX queue_jobs_scheduled_idx ON queue_jobs (run_at) WHERE state = 'scheduled';
CREATE INDEX queue_jobs_running_idx ON queue_jobs (worker_id) WHERE state = 'running';
CREATE INDEX queue_jobs_cancel_idx ON queue_jobs (worker_id) WHERE state = 'running' AND cancel_requested_at IS NOT NULL;
CREATE INDEX queue_jobs_finished_idx ON queue_jobs (state, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX queue_jobs_dead_idx ON queue_jobs (domain_id, id) WHERE state = 'dead';
CREATE INDEX queue_jobs_batch_idx ON queue_jobs (domain_id, batch_id) WHERE batch_id IS NOT NULL;
CREATE UNIQUE INDEX queue_jobs_unique_key ON queue_jobs (domain_id, kind, unique_key)
    WHERE unique_key IS NOT NULL AND finished_at IS NULL;

-- A domain sees its own jobs; the platform domain, where operators are, sees and steers those of all domains.
ALTER TABLE queue_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue_jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON queue_jobs TO plinth_app
    USING (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id())
    WITH CHECK (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id());
CREATE POLICY system ON queue_jobs TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT,
      INSERT (domain_id, id, queue, kind, state, priority, turn, run_at, max_attempts, unique_key, unique_while, batch_id, payload, trace),
      UPDATE (state, turn, run_at, max_attempts, worker_id, finished_at, cancel_requested_at, batch_id)
    ON queue_jobs TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_jobs TO plinth_system;

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

CREATE TABLE queue_schedules (
    domain_id uuid NOT NULL DEFAULT current_domain_id() REFERENCES domains (id),
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    queue text NOT NULL CHECK (char_length(queue) BETWEEN 1 AND 63),
    kind text NOT NULL CHECK (char_length(kind) BETWEEN 1 AND 100),
    priority smallint NOT NULL DEFAULT 2 CHECK (priority BETWEEN 0 AND 3),
    max_attempts integer NOT NULL CHECK (max_attempts > 0),
    payload jsonb NOT NULL,
    cron text NOT NULL CHECK (char_length(cron) BETWEEN 1 AND 200),
    time_zone text NOT NULL CHECK (char_length(time_zone) BETWEEN 1 AND 100),
    missed text NOT NULL CHECK (missed IN ('skip', 'once', 'all')),
    next_at timestamptz,
    last_at timestamptz,
    paused_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, name),
    CHECK (last_at < next_at),
    CONSTRAINT queue_schedules_payload_check CHECK (pg_column_size(payload) <= 1048576),
    CONSTRAINT queue_schedules_next_check CHECK (next_at < '10000-01-01 00:00:00+00')
);
COMMENT ON TABLE queue_schedules IS 'Jobs that are enqueued again and again. Whichever worker locks the row fires it, and moves it on in the same transaction.';
COMMENT ON COLUMN queue_schedules.domain_id IS 'Domain that the jobs act in.';
COMMENT ON COLUMN queue_schedules.name IS 'Name, unique within the domain.';
COMMENT ON COLUMN queue_schedules.queue IS 'Queue of the jobs.';
COMMENT ON COLUMN queue_schedules.kind IS 'Kind of the jobs.';
COMMENT ON COLUMN queue_schedules.priority IS 'Priority of the jobs.';
COMMENT ON COLUMN queue_schedules.max_attempts IS 'Maximum attempts of the jobs.';
COMMENT ON COLUMN queue_schedules.payload IS 'Payload of the jobs.';
COMMENT ON COLUMN queue_schedules.cron IS 'When: five cron fields, or six with seconds first.';
COMMENT ON COLUMN queue_schedules.time_zone IS 'IANA time zone that the fields are meant in.';
COMMENT ON COLUMN queue_schedules.missed IS 'What becomes of firings that nobody was there for: skip, once (one job for all of them), all.';
COMMENT ON COLUMN queue_schedules.next_at IS 'Next firing; NULL when there is none.';
COMMENT ON COLUMN queue_schedules.last_at IS 'Last firing that was due.';
COMMENT ON COLUMN queue_schedules.paused_at IS 'When it was paused; NULL while it fires.';
COMMENT ON COLUMN queue_schedules.created_at IS 'When the row was made.';
COMMENT ON COLUMN queue_schedules.updated_at IS 'When its definition last changed.';
CREATE INDEX queue_schedules_next_idx ON queue_schedules (next_at) WHERE paused_at IS NULL;

ALTER TABLE queue_schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE queue_schedules FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON queue_schedules TO plinth_app
    USING (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id())
    WITH CHECK (domain_id = (SELECT current_domain_id()) OR (SELECT current_domain_id()) = platform_domain_id());
CREATE POLICY system ON queue_schedules TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE (paused_at) ON queue_schedules TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_schedules TO plinth_system;

-- The way of a job's handler into the domain that the job acts in. The lease is the credential: whoever lost it, and wakes up late,
-- does not come in. Cancelling, pausing and suspending do not take it away; erasing does: what a job wrote then would come after it.
CREATE FUNCTION enter_job(p_domain uuid, p_job uuid, p_worker uuid, p_attempt integer, p_timeout_ms integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    v_domain uuid;
    v_context text;
BEGIN
    SELECT j.domain_id INTO v_domain FROM queue_jobs j JOIN domains d ON d.id = j.domain_id
     WHERE j.domain_id = p_domain AND j.id = p_job AND j.worker_id = p_worker AND j.attempt = p_attempt
       AND d.status <> 'erasing';
    IF v_domain IS NULL THEN
        PERFORM refuse(409, 'the lease on the job has ended, or its domain is being erased');
    END IF;
    v_context := set_context(v_domain, NULL, NULL, NULL, true, p_timeout_ms);
END
$$;
COMMENT ON FUNCTION enter_job(uuid, uuid, uuid, integer, integer) IS
    'Sets the context of a running job: its domain, and nobody as the user. Raises PL409 when the lease (worker, attempt) has ended, or the domain is being erased.';
REVOKE ALL ON FUNCTION enter_job(uuid, uuid, uuid, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enter_job(uuid, uuid, uuid, integer, integer) TO plinth_app, plinth_system;
ALTER FUNCTION enter_job(uuid, uuid, uuid, integer, integer) OWNER TO plinth_system;
