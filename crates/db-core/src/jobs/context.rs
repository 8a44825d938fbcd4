//! What a handler works with: the job, and the ways to data that it has.

use std::time::Duration;

use uuid::Uuid;

use crate::access::Origin;
use crate::clock::Clock;
use crate::error::Result;
use crate::ids::{DomainId, JobId, PLATFORM_DOMAIN};
use crate::jobs::Failure;
use crate::jobs::statement::Connection;
use crate::owner::{Owner, SystemError, SystemTx};
use crate::tx::{Begin, Pool, Tx, WriteTx};

/// The job that a handler runs, and its ways to data.
#[derive(Clone)]
pub struct JobContext {
    pub(super) job: job_queue::Context,
    pub(super) pool: Pool,
    pub(super) owner: Owner,
}

impl std::fmt::Debug for JobContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.job.fmt(f)
    }
}

impl JobContext {
    /// The job as the queue has it: attempt, deadline, batch, and the token that says when it should stop.
    pub fn job(&self) -> &job_queue::Context {
        &self.job
    }

    /// Id of the job, the same for each attempt: an idempotency key for what is done elsewhere.
    pub fn id(&self) -> JobId {
        JobId::new(self.job.job_id())
    }

    /// A new id for a row, or for a job that follows.
    pub fn new_id<Id: From<Uuid>>(&self) -> Id {
        self.clock().id()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.pool.shared.clock
    }

    /// Domain that it acts in.
    pub fn domain(&self) -> DomainId {
        DomainId::new(self.job.domain())
    }

    /// Whether it should stop: it was cancelled, its time is up, or the worker must go. To be asked between two portions of work.
    pub fn should_stop(&self) -> bool {
        self.job.cancellation().is_cancelled()
    }

    /// How long it may go on.
    pub fn remaining(&self) -> Duration {
        self.job
            .deadline()
            .saturating_duration_since(std::time::Instant::now())
    }

    /// Runs a read-only transaction in the job's domain, as the app role.
    ///
    /// # Errors
    /// A conflict `lease_lost` when the lease on the job has ended; what the closure fails with; a database error.
    pub async fn read<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(&Tx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.pool
            .run_read(name, &self.begin("BEGIN READ ONLY"), closure)
            .await
    }

    /// Runs a transaction in the job's domain, as the app role and as nobody. It must record what it did, as a request must.
    ///
    /// The job may be run again after this has committed: what it does has to bear that. See [`Self::finish`].
    ///
    /// # Errors
    /// A conflict `lease_lost` when the lease on the job has ended; what the closure fails with; a database error.
    pub async fn write<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(&WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        let begin = Begin {
            sql: self.begin("BEGIN"),
            origin: self.origin(),
            recorded: true,
        };
        self.pool.run_write(name, &begin, closure).await
    }

    /// As [`Self::write`], and completes the job in the same transaction: of all attempts exactly one commits. The handler is to
    /// return `Ok` after it.
    ///
    /// # Errors
    /// As [`Self::write`]. After a connection lost during `COMMIT` the next attempt finds the job completed, or runs it.
    pub async fn finish<T>(
        &self,
        name: &'static str,
        closure: impl AsyncFn(&WriteTx<'_>) -> Result<T>,
    ) -> Result<T> {
        self.write(name, async |tx| {
            let value = closure(tx).await?;
            self.job.complete_in(&mut Connection(tx.conn())).await?;
            Ok(value)
        })
        .await
    }

    /// Runs a transaction as `plinth_system`, which sees every domain: for jobs of the installation only.
    ///
    /// # Errors
    /// The job belongs to a domain; what the closure fails with; the database is away.
    pub async fn system<T>(
        &self,
        closure: impl AsyncFnOnce(&SystemTx<'_>) -> Result<T, SystemError>,
    ) -> Result<T, Failure> {
        if self.domain() != PLATFORM_DOMAIN {
            return Err(Failure::fatal(
                "only jobs of the platform domain act for all domains",
            ));
        }
        Ok(self.owner.system(closure).await?)
    }

    fn origin(&self) -> Origin {
        Origin {
            // The activity stream names the job where it names the request elsewhere.
            request_id: format!("job:{}", self.job.job_id()),
            ip: None,
            trace: self.job.info().trace.clone(),
        }
    }

    /// The first message; its values are UUIDs and integers.
    fn begin(&self, begin: &str) -> String {
        let lease = self.job.lease();
        format!(
            "{begin};SELECT enter_job('{}','{}','{}',{},{})",
            lease.domain,
            lease.job,
            lease.worker,
            lease.attempt,
            self.pool.shared.statement_timeout.as_millis()
        )
    }
}
