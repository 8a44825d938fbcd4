DROP TRIGGER queue_jobs_place ON queue_jobs;
DROP FUNCTION queue_jobs_place();
ALTER TABLE queue_job_batch_deltas RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay);
ALTER TABLE queue_job_batch_deltas
    DROP CONSTRAINT queue_job_batch_deltas_total_check,
    DROP CONSTRAINT queue_job_batch_deltas_succeeded_check,
    DROP CONSTRAINT queue_job_batch_deltas_failed_check,
    DROP CONSTRAINT queue_job_batch_deltas_cancelled_check;
ALTER TABLE queue_schedules
    DROP CONSTRAINT queue_schedules_payload_check,
    DROP CONSTRAINT queue_schedules_next_check;
ALTER TABLE queue_job_batches DROP CONSTRAINT queue_job_batches_payload_check;
ALTER TABLE queue_jobs
    DROP CONSTRAINT queue_jobs_turn_limit_check,
    DROP CONSTRAINT queue_jobs_run_at_check,
    DROP CONSTRAINT queue_jobs_payload_check,
    DROP CONSTRAINT queue_jobs_explained_check;
