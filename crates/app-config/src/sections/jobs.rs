//! Section `jobs`: who runs background jobs, and how long what they tidy up is kept.

use std::net::SocketAddr;
use std::time::Duration;

use crate::reader::Reader;

/// How background jobs are run.
#[derive(Clone, Debug)]
pub struct JobsConfig {
    /// Whether the server runs them itself: `PLINTH_JOBS_WORKER`, default true.
    pub worker: bool,
    /// Jobs of one queue that a worker runs at once: `PLINTH_JOBS_CONCURRENCY`, default 16.
    pub concurrency: usize,
    /// Address of `/metrics` of `plinth-ops worker`: `PLINTH_JOBS_METRICS_BIND`, default `127.0.0.1:9465`.
    pub metrics_bind: SocketAddr,
    /// How long running jobs may go on after a signal to stop: `PLINTH_JOBS_SHUTDOWN_GRACE`, default 20 s.
    pub shutdown_grace: Duration,
    /// Days after which rows of the activity stream are deleted, 0 for never: `PLINTH_JOBS_KEEP_ACTIVITY_DAYS`, default 365.
    pub keep_activity_days: u32,
}

impl JobsConfig {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            worker: reader.required("jobs.worker")?,
            concurrency: reader.required("jobs.concurrency")?,
            metrics_bind: reader.required("jobs.metrics_bind")?,
            shutdown_grace: reader.duration("jobs.shutdown_grace")?,
            keep_activity_days: reader.required("jobs.keep_activity_days")?,
        })
    }
}
