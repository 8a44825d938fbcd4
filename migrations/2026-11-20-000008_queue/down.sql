DROP TABLE queue_schedules;
DROP TABLE queue_jobs;
DROP TABLE queue_job_batch_deltas;
DROP TABLE queue_job_batches;
DROP TABLE queue_workers;
DROP TABLE queue_queues;
