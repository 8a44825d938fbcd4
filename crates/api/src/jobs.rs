//! The server's part in background jobs: it tells workers of new ones, and runs them itself where the configuration says so.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use app_config::JobsConfig;
use db_core::jobs::{Handlers, WorkerName};
use db_core::{Db, Owner};
use tokio_util::sync::CancellationToken;

/// A thread with a runtime of its own: requests and jobs do not hold one another up.
#[derive(Default)]
pub(crate) struct JobThread {
    stop: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl JobThread {
    /// Starts it, once there is a database to work on.
    pub(crate) fn start(&self, owner: &Owner, db: &Db, config: &JobsConfig) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_some() {
            return;
        }
        let (owner, db, config, stop) = (owner.clone(), db.clone(), config.clone(), self.stop.clone());
        let work = move || match tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("plinth-jobs")
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime.block_on(run(owner, db, config, stop)),
            Err(error) => tracing::error!(%error, "jobs are not run: there is no runtime for them"),
        };
        match std::thread::Builder::new()
            .name("plinth-jobs".to_owned())
            .spawn(work)
        {
            Ok(started) => *thread = Some(started),
            Err(error) => tracing::error!(%error, "jobs are not run: there is no thread for them"),
        }
    }

    /// Lets running jobs end, and begins no more. Returns at once.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Returns when it has ended.
    pub(crate) fn stop(&self) {
        self.begin_stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of jobs has panicked");
        }
    }
}

impl Drop for JobThread {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(owner: Owner, db: Db, config: JobsConfig, stop: CancellationToken) {
    db.start_notifier(&owner);
    if !config.worker {
        return stop.cancelled().await;
    }
    match Handlers::core(&owner, &db, &config, telemetry::link_trace) {
        Ok(handlers) => handlers.run(WorkerName::of("plinth-api"), stop).await,
        Err(error) => tracing::error!(%error, "jobs are not run"),
    }
}
