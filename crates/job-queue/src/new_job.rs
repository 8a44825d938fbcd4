use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::Error;
use crate::job::{Job, Priority};
use crate::sql;
use crate::statement::{Executor, Param, Statement, run};

/// How long a unique key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum While {
    /// Until the job starts: one that arrives later is a job of its own. For "look again", where the running one may have looked
    /// too early.
    Waiting,
    /// Until the job is completed, cancelled or dead.
    Unfinished,
}

impl While {
    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unfinished => "unfinished",
        }
    }
}

/// Longest payload, in bytes of JSON. Every worker holds hundreds of them.
const LONGEST_PAYLOAD: usize = 128 * 1024;

/// The payload as JSON.
///
/// # Errors
/// What serde cannot write, what is too long, and what PostgreSQL's jsonb cannot hold.
pub(crate) fn payload_of<J: Job>(job: &J) -> Result<String, Error> {
    let payload = serde_json::to_string(job).map_err(|source| Error::Payload {
        kind: J::NAME,
        source,
    })?;
    if payload.len() > LONGEST_PAYLOAD {
        return Err(Error::Invalid {
            what: "the length of a payload",
            value: format!("{} bytes ({})", payload.len(), J::NAME),
            rule: "at most 131072 bytes of JSON; keep what is larger elsewhere, and name it",
        });
    }
    // JSON writes NUL as an escape. What precedes it may be an escaped backslash.
    let nul = payload.match_indices("\\u0000").any(|(at, _)| {
        let backslashes = payload
            .as_bytes()
            .iter()
            .take(at)
            .rev()
            .take_while(|it| **it == b'\\')
            .count();
        backslashes % 2 == 0
    });
    if nul {
        return Err(Error::Invalid {
            what: "a text in a payload",
            value: J::NAME.to_owned(),
            rule: "without the character NUL, which PostgreSQL does not store",
        });
    }
    Ok(payload)
}

/// A job to be enqueued.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    id: Uuid,
    domain: Option<Uuid>,
    queue: String,
    kind: String,
    priority: Priority,
    max_attempts: u32,
    payload: String,
    run_at: Option<DateTime<Utc>>,
    delay: Option<Duration>,
    unique: Option<(String, While)>,
    batch: Option<Uuid>,
    trace: Option<String>,
}

impl NewJob {
    /// A job with what its kind says. `id` is a new UUIDv7.
    ///
    /// # Errors
    /// A payload that serde cannot write, that is longer than 128 KiB, or that has the character NUL in a text.
    pub fn new<J: Job>(id: Uuid, job: &J) -> Result<Self, Error> {
        let payload = payload_of(job)?;
        Ok(Self {
            id,
            domain: None,
            queue: J::QUEUE.to_owned(),
            kind: J::NAME.to_owned(),
            priority: J::PRIORITY,
            max_attempts: J::MAX_ATTEMPTS,
            payload,
            run_at: None,
            delay: None,
            unique: None,
            batch: None,
            trace: None,
        })
    }

    /// Id of the job.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The queue that it will stand in.
    #[must_use]
    pub fn queue_name(&self) -> &str {
        &self.queue
    }

    /// The domain it acts in. Without, that of the transaction, by the schema's `current_domain_id()`.
    #[must_use]
    pub fn in_domain(mut self, domain: Uuid) -> Self {
        self.domain = Some(domain);
        self
    }

    /// Another queue than the kind's.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Another priority than the kind's.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Another number of attempts than the kind's; 0 counts as 1.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// Not before this long from now, by the database's clock.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Not before this time.
    #[must_use]
    pub fn run_at(mut self, time: DateTime<Utc>) -> Self {
        self.run_at = Some(time);
        self
    }

    /// Not beside another job of the domain and kind with the same key (1 to 200 characters).
    #[must_use]
    pub fn unique(mut self, key: impl Into<String>, while_: While) -> Self {
        self.unique = Some((key.into(), while_));
        self
    }

    /// Counted in a batch, which must belong to the same domain and not be sealed.
    #[must_use]
    pub fn in_batch(mut self, batch: Uuid) -> Self {
        self.batch = Some(batch);
        self
    }

    /// The enqueuer's W3C `traceparent`, for the run to be linked to.
    #[must_use]
    pub fn trace(mut self, traceparent: impl Into<String>) -> Self {
        self.trace = Some(traceparent.into());
        self
    }

    fn check(&self) -> Result<(), Error> {
        let within = |what, value: &str, most, rule| {
            if (1..=most).contains(&value.chars().count()) {
                Ok(())
            } else {
                Err(Error::Invalid {
                    what,
                    value: value.to_owned(),
                    rule,
                })
            }
        };
        within("the name of a queue", &self.queue, 63, "1 to 63 characters")?;
        within("the name of a kind", &self.kind, 100, "1 to 100 characters")?;
        if let Some((key, _)) = &self.unique {
            within("a unique key", key, 200, "1 to 200 characters")?;
        }
        if let Some(trace) = &self.trace {
            within("a traceparent", trace, 200, "1 to 200 characters")?;
        }
        Ok(())
    }
}

/// What became of a [`NewJob`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It was added.
    Added,
    /// An unfinished job has its unique key.
    Duplicate,
}

/// The statement that adds jobs. It does not look whether their batches take any: [`enqueue`] does.
///
/// # Errors
/// A name that is empty or too long.
pub fn enqueue_statement(jobs: &[NewJob]) -> Result<Statement, Error> {
    for job in jobs {
        job.check()?;
    }
    let texts = |get: fn(&NewJob) -> Option<String>| Param::Texts(jobs.iter().map(get).collect());
    let ints = |get: fn(&NewJob) -> i32| Param::Ints(jobs.iter().map(get).collect());
    Ok(Statement {
        sql: sql::ENQUEUE,
        params: vec![
            Param::Uuids(jobs.iter().map(|job| job.domain).collect()),
            Param::Uuids(jobs.iter().map(|job| Some(job.id)).collect()),
            texts(|job| Some(job.queue.clone())),
            texts(|job| Some(job.kind.clone())),
            ints(|job| job.priority.number()),
            ints(|job| i32::try_from(job.max_attempts).unwrap_or(i32::MAX)),
            texts(|job| Some(job.payload.clone())),
            Param::Times(jobs.iter().map(|job| job.run_at).collect()),
            Param::Reals(
                jobs.iter()
                    .map(|job| job.delay.map(|delay| delay.as_secs_f64()))
                    .collect(),
            ),
            texts(|job| job.unique.as_ref().map(|(key, _)| key.clone())),
            texts(|job| job.unique.as_ref().map(|(_, while_)| while_.name().to_owned())),
            Param::Uuids(jobs.iter().map(|job| job.batch).collect()),
            texts(|job| job.trace.clone()),
        ],
    })
}

/// Adds jobs in the caller's transaction: they exist when it commits. Says for each what became of it, in their order.
///
/// After the commit, tell a [`Notifier`](crate::Notifier); without, they are found at the next poll.
///
/// # Errors
/// A batch that takes no jobs, an invalid name, or what the executor fails with.
pub async fn enqueue(executor: &mut impl Executor, jobs: &[NewJob]) -> Result<Vec<Enqueued>, Error> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let mut batches: Vec<_> = jobs
        .iter()
        .filter_map(|job| Some((job.batch?, job.domain)))
        .collect();
    batches.sort_unstable();
    batches.dedup();
    for (batch, domain) in batches {
        let lock = Statement {
            sql: sql::BATCH_LOCK,
            params: vec![Param::Uuid(domain), Param::Uuid(Some(batch))],
        };
        if run(executor, lock).await?.is_empty() {
            return Err(Error::BatchClosed(batch));
        }
    }
    let added = run(executor, enqueue_statement(jobs)?).await?;
    let added: std::collections::HashSet<Uuid> = added.into_iter().collect();
    Ok(jobs
        .iter()
        .map(|job| {
            if added.contains(&job.id) {
                Enqueued::Added
            } else {
                Enqueued::Duplicate
            }
        })
        .collect())
}
