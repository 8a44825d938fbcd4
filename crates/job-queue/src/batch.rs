use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::error::Error;
use crate::job::{Job, Priority};
use crate::new_job::payload_of;
use crate::sql;
use crate::statement::{Executor, Param, Statement, run};

/// A batch to be made: jobs that are counted together, and perhaps a job for when all of them have finished.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBatch {
    id: Uuid,
    domain: Option<Uuid>,
    name: String,
    open_for: Duration,
    completion: Option<Completion>,
}

#[derive(Clone, Debug, PartialEq)]
struct Completion {
    id: Uuid,
    queue: String,
    kind: String,
    priority: Priority,
    max_attempts: u32,
    payload: String,
}

impl NewBatch {
    /// A batch that seals itself after a day, should its maker not. `id` is a new UUIDv7.
    pub fn new(id: Uuid, name: impl Into<String>) -> Self {
        Self {
            id,
            domain: None,
            name: name.into(),
            open_for: Duration::from_secs(24 * 3600),
            completion: None,
        }
    }

    /// The domain of the batch and its jobs. Without, that of the transaction.
    #[must_use]
    pub fn in_domain(mut self, domain: Uuid) -> Self {
        self.domain = Some(domain);
        self
    }

    /// When it seals itself, from now.
    #[must_use]
    pub fn open_for(mut self, time: Duration) -> Self {
        self.open_for = time;
        self
    }

    /// A job that is enqueued once all jobs of the sealed batch have finished, however they did. `id` is a new UUIDv7.
    ///
    /// # Errors
    /// A payload that [`NewJob::new`](crate::NewJob::new) would refuse.
    pub fn then<J: Job>(mut self, id: Uuid, job: &J) -> Result<Self, Error> {
        let payload = payload_of(job)?;
        self.completion = Some(Completion {
            id,
            queue: J::QUEUE.to_owned(),
            kind: J::NAME.to_owned(),
            priority: J::PRIORITY,
            max_attempts: J::MAX_ATTEMPTS,
            payload,
        });
        Ok(self)
    }

    /// The statement that makes it.
    #[must_use]
    pub fn statement(self) -> Statement {
        let completion = self.completion;
        let text = |get: fn(&Completion) -> String| Param::Text(completion.as_ref().map(get));
        let attempts = |it: &Completion| i32::try_from(it.max_attempts.max(1)).unwrap_or(i32::MAX);
        Statement {
            sql: sql::BATCH_CREATE,
            params: vec![
                Param::Uuid(self.domain),
                Param::Uuid(Some(self.id)),
                Param::Text(Some(self.name)),
                Param::Real(self.open_for.as_secs_f64()),
                text(|it| it.queue.clone()),
                text(|it| it.kind.clone()),
                Param::Int(completion.as_ref().map(|it| it.priority.number())),
                Param::Int(completion.as_ref().map(attempts)),
                text(|it| it.payload.clone()),
                Param::Uuid(completion.as_ref().map(|it| it.id)),
            ],
        }
    }

    /// Makes it, in the caller's transaction.
    ///
    /// # Errors
    /// What the executor fails with.
    pub async fn create(self, executor: &mut impl Executor) -> Result<(), Error> {
        run(executor, self.statement()).await.map(drop)
    }
}

/// No more jobs for the batch: once all of its jobs have finished, it has. False when it was sealed before, or is not there.
/// Waits for transactions that are just adding jobs to it.
///
/// # Errors
/// What the executor fails with.
pub async fn seal(executor: &mut impl Executor, domain: Option<Uuid>, batch: Uuid) -> Result<bool, Error> {
    let statement = Statement {
        sql: sql::BATCH_SEAL,
        params: vec![Param::Uuid(domain), Param::Uuid(Some(batch))],
    };
    Ok(!run(executor, statement).await?.is_empty())
}

/// How far a batch has come. Exact at the moment of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchProgress {
    /// What the batch is for.
    pub name: String,
    /// Jobs put in so far.
    pub total: i64,
    /// Jobs completed.
    pub succeeded: i64,
    /// Jobs that became dead letters.
    pub failed: i64,
    /// Jobs cancelled.
    pub cancelled: i64,
    /// Since when it takes no more jobs.
    pub sealed_at: Option<DateTime<Utc>>,
    /// When the last job of the sealed batch had finished.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A batch's counts; `None` when there is no such batch.
///
/// # Errors
/// What the database fails with.
pub async fn batch_progress(
    client: &impl GenericClient,
    domain: Uuid,
    batch: Uuid,
) -> Result<Option<BatchProgress>, Error> {
    let row = client.query_opt(sql::BATCH_PROGRESS, &[&domain, &batch]).await?;
    Ok(row.map(|row| BatchProgress {
        name: row.get(0),
        total: row.get(1),
        succeeded: row.get(2),
        failed: row.get(3),
        cancelled: row.get(4),
        sealed_at: row.get(5),
        finished_at: row.get(6),
    }))
}
