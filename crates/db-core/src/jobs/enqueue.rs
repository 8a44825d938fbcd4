//! Enqueueing inside of a transaction: the job is there when the transaction commits, and workers are told after that.

use job_queue::{Enqueued, Job, NewBatch, NewJob};
use uuid::Uuid;

use super::statement::Connection;
use crate::error::Result;
use crate::ids::{DomainId, JobId};
use crate::owner::{SystemError, SystemTx};
use crate::tx::WriteTx;

impl WriteTx<'_> {
    /// Adds a job of this domain, as its kind has it. One statement, which is sent with those around it like any other.
    ///
    /// # Errors
    /// A payload that serde cannot write, or a database error.
    pub async fn enqueue<J: Job>(&self, job: &J) -> Result<JobId> {
        let job = self.new_job(job)?;
        let id = JobId::new(job.id());
        self.enqueue_all(&[job]).await?;
        Ok(id)
    }

    /// A job of this domain that has not been added yet: to be given a delay, a unique key, a batch, … and then to
    /// [`enqueue_all`](Self::enqueue_all). It knows the trace of the request that it is made in.
    ///
    /// # Errors
    /// A payload that serde cannot write.
    pub fn new_job<J: Job>(&self, job: &J) -> Result<NewJob> {
        let new = NewJob::new(self.new_id(), job)?;
        Ok(match &self.origin().trace {
            Some(trace) => new.trace(trace),
            None => new,
        })
    }

    /// Adds jobs in one statement (and one more for each batch that they belong to), and says of each what became of it.
    /// From the platform domain, jobs of other domains can be added too.
    ///
    /// # Errors
    /// A conflict `batch_closed`, or a database error: row level security refuses another domain's job.
    pub async fn enqueue_all(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>> {
        let enqueued = job_queue::enqueue(&mut Connection(self.conn()), jobs).await?;
        for job in jobs {
            self.wake(job.queue_name());
        }
        Ok(enqueued)
    }

    /// Makes a batch, whose jobs are counted together.
    ///
    /// # Errors
    /// A database error.
    pub async fn create_batch(&self, batch: NewBatch) -> Result<()> {
        Ok(batch.create(&mut Connection(self.conn())).await?)
    }

    /// No more jobs for the batch. False when it was sealed before, or there is none.
    ///
    /// # Errors
    /// A database error.
    pub async fn seal_batch(&self, batch: Uuid) -> Result<bool> {
        Ok(job_queue::seal(&mut Connection(self.conn()), None, batch).await?)
    }
}

impl SystemTx<'_> {
    /// Adds a job of `domain`, [`PLATFORM_DOMAIN`](crate::PLATFORM_DOMAIN) for the installation's own. `id` is a new UUIDv7.
    ///
    /// # Errors
    /// A payload that serde cannot write, or a statement fails.
    pub async fn enqueue<J: Job>(
        &self,
        id: JobId,
        domain: DomainId,
        job: &J,
    ) -> Result<Enqueued, SystemError> {
        let job = NewJob::new(id.uuid(), job)?.in_domain(domain.uuid());
        let enqueued = self.enqueue_all(&[job]).await?;
        Ok(enqueued.first().copied().unwrap_or(Enqueued::Duplicate))
    }

    /// Adds jobs, each of which names its domain, and says of each what became of it.
    ///
    /// # Errors
    /// A batch that takes no jobs, or a statement fails.
    pub async fn enqueue_all(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, SystemError> {
        let mut client = self.client();
        let enqueued = job_queue::enqueue(&mut client, jobs).await?;
        for job in jobs {
            self.wake(job.queue_name());
        }
        Ok(enqueued)
    }
}
