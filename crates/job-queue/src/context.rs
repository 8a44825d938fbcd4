use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::Error;
use crate::sql;
use crate::statement::{Executor, Param, Statement, run};

/// The right to run a job: whoever holds another one, an older one above all, completes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Domain of the job.
    pub domain: Uuid,
    /// The job.
    pub job: Uuid,
    /// Which attempt; grows with each claim.
    pub attempt: i32,
    /// The worker, by an id that is never used again.
    pub worker: Uuid,
}

impl Lease {
    /// The statement that completes the job while the lease holds, in whatever transaction it runs. It returns the job's id, or no
    /// row when the lease has ended: then that transaction is to be rolled back.
    #[must_use]
    pub fn complete_statement(&self) -> Statement {
        Statement {
            sql: sql::COMPLETE,
            params: vec![
                Param::Uuids(vec![Some(self.domain)]),
                Param::Uuids(vec![Some(self.job)]),
                Param::Ints(vec![self.attempt]),
                Param::Uuids(vec![Some(self.worker)]),
            ],
        }
    }
}

/// What a handler knows about the job that it runs.
#[derive(Clone)]
pub struct Context {
    pub(crate) lease: Lease,
    pub(crate) job: Arc<JobInfo>,
    pub(crate) stop: CancellationToken,
    pub(crate) deadline: Instant,
    pub(crate) completed_inside: Arc<AtomicBool>,
}

/// What stands in the job's row.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobInfo {
    /// Queue it was claimed from.
    pub queue: Arc<str>,
    /// Its kind.
    pub kind: String,
    /// Claims after which a failure is final.
    pub max_attempts: i32,
    /// When it was to be run: for a job of a schedule, the time of the firing.
    pub run_at: DateTime<Utc>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// Batch it is counted in.
    pub batch: Option<Uuid>,
    /// W3C `traceparent` of the enqueuer.
    pub trace: Option<String>,
}

impl Context {
    /// Domain that the job acts in.
    #[must_use]
    pub fn domain(&self) -> Uuid {
        self.lease.domain
    }

    /// Id of the job; the same for each attempt, so that it serves as an idempotency key elsewhere.
    #[must_use]
    pub fn job_id(&self) -> Uuid {
        self.lease.job
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> i32 {
        self.lease.attempt
    }

    /// The job's row.
    #[must_use]
    pub fn info(&self) -> &JobInfo {
        &self.job
    }

    /// The lease, for a statement of the handler's own.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lease
    }

    /// Set off when the job should stop: it was cancelled, its time is up, its lease was lost, or the worker must go. A little
    /// later the handler's future is dropped.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.stop
    }

    /// When this attempt's time is up.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Completes the job in the handler's own transaction, so that its work and its completion are committed together: exactly one
    /// attempt commits. Call it last, commit, and return `Ok(())`; the handler's transaction holds the job's row until then.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], upon which the transaction must be rolled back, and what the executor fails with.
    pub async fn complete_in(&self, executor: &mut impl Executor) -> Result<(), Error> {
        let done = run(executor, self.lease.complete_statement()).await?;
        if done.is_empty() {
            return Err(Error::LeaseLost(self.lease.job));
        }
        self.completed_inside.store(true, Ordering::Release);
        Ok(())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("lease", &self.lease)
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}
