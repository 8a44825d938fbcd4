//! For operators: look at jobs, and steer them.

use std::fmt;

use chrono::{DateTime, Utc};
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::error::Error;
use crate::sql;
use crate::statement::{Executor, Param, Statement, run};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// Its time has not come: delayed, or between two attempts.
    Scheduled,
    /// In line.
    Available,
    /// Claimed by a worker.
    Running,
    /// Done.
    Completed,
    /// A dead letter: its attempts are used up, or it was given up.
    Dead,
    /// Nobody wants it any more.
    Cancelled,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Completed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// As the table has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// By its name in the table.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which jobs; `None` leaves the column alone.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of one domain.
    pub domain: Option<Uuid>,
    /// In one state. The list of dead letters is this with [`JobState::Dead`].
    pub state: Option<JobState>,
    /// In one queue.
    pub queue: Option<String>,
    /// Of one kind.
    pub kind: Option<String>,
    /// Of one batch.
    pub batch: Option<Uuid>,
}

/// A job as people look at it.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// Domain that it acts in.
    pub domain: Uuid,
    /// Its id.
    pub id: Uuid,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// 0 urgent to 3 low.
    pub priority: i16,
    /// Claims so far.
    pub attempt: i32,
    /// Claims after which a failure is final.
    pub max_attempts: i32,
    /// Not to be run before.
    pub run_at: DateTime<Utc>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When its last attempt was claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was completed, cancelled or given up.
    pub finished_at: Option<DateTime<Utc>>,
    /// Batch it is counted in.
    pub batch: Option<Uuid>,
    /// Its unique key.
    pub unique_key: Option<String>,
    /// What the handler is given.
    pub payload: serde_json::Value,
    /// How attempts ended that did not complete it: objects with `attempt`, `at`, `outcome`, `error`.
    pub errors: serde_json::Value,
}

const FILTER: &str = " FROM queue_jobs WHERE ($1::uuid IS NULL OR domain_id = $1) AND ($2::text IS NULL OR state = $2) \
                      AND ($3::text IS NULL OR queue = $3) AND ($4::text IS NULL OR kind = $4) AND ($5::uuid IS NULL OR batch_id = $5)";

fn read(row: &Row) -> Result<JobRow, Error> {
    let state: String = row.try_get("state")?;
    Ok(JobRow {
        domain: row.try_get("domain_id")?,
        id: row.try_get("id")?,
        queue: row.try_get("queue")?,
        kind: row.try_get("kind")?,
        state: JobState::parse(&state).ok_or(Error::Invalid {
            what: "the state of a job",
            value: state,
            rule: "one of scheduled, available, running, completed, dead, cancelled",
        })?,
        priority: row.try_get("priority")?,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        run_at: row.try_get("run_at")?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        batch: row.try_get("batch_id")?,
        unique_key: row.try_get("unique_key")?,
        payload: row.try_get("payload")?,
        errors: row.try_get("errors")?,
    })
}

/// Jobs, newest id first, beginning behind the job `after`.
///
/// # Errors
/// What the database fails with.
pub async fn list(
    client: &impl GenericClient,
    filter: &JobFilter,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<JobRow>, Error> {
    let sql = format!("SELECT *{FILTER} AND ($6::uuid IS NULL OR id < $6) ORDER BY id DESC LIMIT $7");
    let state = filter.state.map(JobState::name);
    let limit = i64::from(limit);
    let rows = client
        .query(
            &sql,
            &[
                &filter.domain,
                &state,
                &filter.queue,
                &filter.kind,
                &filter.batch,
                &after,
                &limit,
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// How many jobs, up to a million; counting more would take seconds.
///
/// # Errors
/// What the database fails with.
pub async fn count(client: &impl GenericClient, filter: &JobFilter) -> Result<i64, Error> {
    let sql = format!("SELECT count(*) FROM (SELECT{FILTER} LIMIT 1000000) jobs");
    let state = filter.state.map(JobState::name);
    let row = client
        .query_one(
            &sql,
            &[&filter.domain, &state, &filter.queue, &filter.kind, &filter.batch],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// A queue and how many unfinished and dead jobs it has.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueCounts {
    /// Its name.
    pub name: String,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Jobs whose time has not come.
    pub scheduled: i64,
    /// Jobs in line.
    pub available: i64,
    /// Jobs that run.
    pub running: i64,
    /// Dead letters.
    pub dead: i64,
    /// Seconds that the job in front of the line has waited; 0 without one.
    pub oldest_seconds: f64,
}

/// All queues that have jobs or were ever served. Counts rows: for people and for a metric a minute, not for a loop.
///
/// # Errors
/// What the database fails with.
pub async fn queues(client: &impl GenericClient) -> Result<Vec<QueueCounts>, Error> {
    let rows = client
        .query(
            "WITH counts AS (
                 SELECT queue, count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
                        count(*) FILTER (WHERE state = 'available') AS available,
                        count(*) FILTER (WHERE state = 'running') AS running, count(*) FILTER (WHERE state = 'dead') AS dead
                   FROM queue_jobs WHERE state IN ('scheduled', 'available', 'running', 'dead') GROUP BY queue)
             SELECT coalesce(q.name, c.queue), q.paused_at, coalesce(c.scheduled, 0), coalesce(c.available, 0),
                    coalesce(c.running, 0), coalesce(c.dead, 0),
                    coalesce((SELECT extract(epoch FROM now() - j.run_at)::float8 FROM queue_jobs j
                               WHERE j.queue = coalesce(q.name, c.queue) AND j.state = 'available' ORDER BY j.turn LIMIT 1), 0)
               FROM (SELECT name, paused_at FROM queue_queues WHERE domain_id = platform_domain_id()) q
               FULL JOIN counts c ON c.queue = q.name ORDER BY 1",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(QueueCounts {
                name: row.try_get(0)?,
                paused_at: row.try_get(1)?,
                scheduled: row.try_get(2)?,
                available: row.try_get(3)?,
                running: row.try_get(4)?,
                dead: row.try_get(5)?,
                oldest_seconds: row.try_get(6)?,
            })
        })
        .collect()
}

fn some(jobs: &[Uuid]) -> Param {
    Param::Uuids(jobs.iter().copied().map(Some).collect())
}

/// Cancels jobs of a domain: waiting ones at once, running ones are asked to stop. Returns those that were not finished already.
///
/// # Errors
/// What the executor fails with.
pub async fn cancel(
    executor: &mut impl Executor,
    domain: Option<Uuid>,
    jobs: &[Uuid],
) -> Result<Vec<Uuid>, Error> {
    run(
        executor,
        Statement {
            sql: sql::CANCEL,
            params: vec![Param::Uuid(domain), some(jobs)],
        },
    )
    .await
}

/// Puts dead or cancelled jobs back in line, with so many more attempts (0 counts as 1). Returns those that were.
///
/// # Errors
/// What the executor fails with.
pub async fn retry(
    executor: &mut impl Executor,
    domain: Option<Uuid>,
    jobs: &[Uuid],
    attempts: u32,
) -> Result<Vec<Uuid>, Error> {
    let attempts = i32::try_from(attempts.clamp(1, 1_000_000)).unwrap_or(1);
    let params = vec![Param::Uuid(domain), some(jobs), Param::Int(Some(attempts))];
    run(
        executor,
        Statement {
            sql: sql::RETRY,
            params,
        },
    )
    .await
}

/// Gives dead letters up for good: they become cancelled, and retention takes them. Returns those that were dead.
///
/// # Errors
/// What the executor fails with.
pub async fn discard(
    executor: &mut impl Executor,
    domain: Option<Uuid>,
    jobs: &[Uuid],
) -> Result<Vec<Uuid>, Error> {
    run(
        executor,
        Statement {
            sql: sql::DISCARD,
            params: vec![Param::Uuid(domain), some(jobs)],
        },
    )
    .await
}

/// No more claims from a queue, in any worker, from this commit on. What runs, and the few jobs claimed ahead, go on.
///
/// # Errors
/// What the executor fails with.
pub async fn pause(executor: &mut impl Executor, queue: &str) -> Result<(), Error> {
    let params = vec![Param::Text(Some(queue.to_owned()))];
    run(
        executor,
        Statement {
            sql: sql::PAUSE,
            params,
        },
    )
    .await
    .map(drop)
}

/// A paused queue is served again. False when it was not paused.
///
/// # Errors
/// What the executor fails with.
pub async fn resume(executor: &mut impl Executor, queue: &str) -> Result<bool, Error> {
    let params = vec![Param::Text(Some(queue.to_owned()))];
    Ok(!run(
        executor,
        Statement {
            sql: sql::RESUME,
            params,
        },
    )
    .await?
    .is_empty())
}
