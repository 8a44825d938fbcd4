//! `queue_jobs`, as platform operators see and steer it. What happens to jobs otherwise is in the crate `job-queue`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use job_queue::JobState;
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Meaning as _, Result};
use crate::ids::{BatchId, DomainId, JobId};
use crate::jobs::{QueueConnection, payload_is_shown};
use crate::models::activity::Activity;
use crate::page::{Page, PageRequest};
use crate::schema::{domains, queue_jobs};
use crate::single_statement::Executor;
use crate::tx::{Tx, WriteTx};

/// A job, without what it carries.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = queue_jobs, check_for_backend(diesel::pg::Pg))]
pub struct JobRow {
    /// Domain that it acts in.
    pub domain_id: DomainId,
    /// Its id; newest is largest.
    pub id: JobId,
    /// Queue that it stands in.
    pub queue: String,
    /// Names its handler.
    pub kind: String,
    /// `scheduled`, `available`, `running`, `completed`, `dead` or `cancelled`.
    pub state: String,
    /// 0 urgent, 1 high, 2 normal, 3 low.
    pub priority: i16,
    /// Not to be run before.
    pub run_at: DateTime<Utc>,
    /// How often it was claimed.
    pub attempt: i32,
    /// Claims after which a failure is final.
    pub max_attempts: i32,
    /// When its last attempt was claimed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was completed, given up or cancelled.
    pub finished_at: Option<DateTime<Utc>>,
    /// When somebody asked the running job to stop.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Batch that it is counted in.
    pub batch_id: Option<BatchId>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
}

/// A job with what it carries, and how its attempts ended.
#[derive(Clone, Debug, Queryable)]
pub struct JobDetail {
    /// The job.
    pub row: JobRow,
    /// Its payload; see [`JobDetail::shown_payload`].
    payload: Value,
    /// How the last twenty attempts ended that did not complete it: objects with `attempt`, `at`, `outcome`, `error`.
    pub errors: Value,
    /// `traceparent` of whoever enqueued it.
    pub trace: Option<String>,
}

impl JobDetail {
    /// The payload, where its kind is one whose payloads operators may see.
    pub fn shown_payload(&self) -> Option<&Value> {
        payload_is_shown(&self.row.kind).then_some(&self.payload)
    }
}

/// Which jobs are wanted; `None` for any.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this domain.
    pub domain: Option<DomainId>,
    /// In this queue.
    pub queue: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// Of this batch.
    pub batch: Option<BatchId>,
}

/// Jobs of all domains, newest first.
///
/// # Errors
/// A database error.
pub async fn job_list(tx: &Tx<'_>, filter: &JobFilter, page: &PageRequest<JobId>) -> Result<Page<JobRow>> {
    let mut query = queue_jobs::table
        .select(JobRow::as_select())
        .order(queue_jobs::id.desc())
        .limit(page.fetch())
        .into_boxed();
    if let Some(domain) = filter.domain {
        query = query.filter(queue_jobs::domain_id.eq(domain));
    }
    if let Some(queue) = &filter.queue {
        query = query.filter(queue_jobs::queue.eq(queue));
    }
    if let Some(kind) = &filter.kind {
        query = query.filter(queue_jobs::kind.eq(kind));
    }
    if let Some(state) = filter.state {
        query = query.filter(queue_jobs::state.eq(state.name()));
    }
    if let Some(batch) = filter.batch {
        query = query.filter(queue_jobs::batch_id.eq(batch));
    }
    if let Some(after) = page.after {
        query = query.filter(queue_jobs::id.lt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// One job, whatever its domain: found by one look into the key for each domain that there is.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn job_get<'a>(tx: impl Executor<'a>, id: JobId) -> Result<JobDetail> {
    queue_jobs::table
        .select((
            JobRow::as_select(),
            queue_jobs::payload,
            queue_jobs::errors,
            queue_jobs::trace,
        ))
        .filter(queue_jobs::domain_id.eq_any(domains::table.select(domains::id)))
        .filter(queue_jobs::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("job")
}

/// Puts a dead or cancelled job back in line, with one more attempt.
///
/// # Errors
/// `NotFound`; a conflict `job_not_retryable`; a database error.
pub async fn job_retry(tx: &WriteTx<'_>, id: JobId) -> Result<JobDetail> {
    let before = job_lock(tx, id).await?;
    let mut queue = QueueConnection(tx.conn());
    let done = job_queue::retry(&mut queue, Some(before.domain_id.uuid()), &[id.uuid()], 1).await?;
    if done.is_empty() {
        let retryable = [JobState::Dead.name(), JobState::Cancelled.name()].contains(&before.state.as_str());
        let message = if retryable {
            "another unfinished job has its unique key".to_owned()
        } else {
            format!(
                "the job is {}: only dead and cancelled ones are tried again",
                before.state
            )
        };
        return Err(Error::conflict("job_not_retryable", message));
    }
    tx.wake(&before.queue);
    changed(tx, "job.retry", &before).await
}

/// Gives a dead job up for good.
///
/// # Errors
/// `NotFound`; a conflict `job_not_dead`; a database error.
pub async fn job_discard(tx: &WriteTx<'_>, id: JobId) -> Result<JobDetail> {
    let before = job_lock(tx, id).await?;
    let mut queue = QueueConnection(tx.conn());
    let done = job_queue::discard(&mut queue, Some(before.domain_id.uuid()), &[id.uuid()]).await?;
    if done.is_empty() {
        let message = format!("the job is {}: only dead ones are discarded", before.state);
        return Err(Error::conflict("job_not_dead", message));
    }
    changed(tx, "job.discard", &before).await
}

/// Cancels a waiting job at once; a running one is asked to stop.
///
/// # Errors
/// `NotFound`; a conflict `job_finished`; a database error.
pub async fn job_cancel(tx: &WriteTx<'_>, id: JobId) -> Result<JobDetail> {
    let before = job_lock(tx, id).await?;
    let mut queue = QueueConnection(tx.conn());
    let done = job_queue::cancel(&mut queue, Some(before.domain_id.uuid()), &[id.uuid()]).await?;
    if done.is_empty() {
        let message = format!("the job is {} already", before.state);
        return Err(Error::conflict("job_finished", message));
    }
    changed(tx, "job.cancel", &before).await
}

/// Notes what became of the job, and reads it again.
async fn changed(tx: &WriteTx<'_>, action: &'static str, before: &JobRow) -> Result<JobDetail> {
    let after = job_get(tx, before.id).await?;
    tx.record(
        Activity::new(action, "job", before.id)
            .before(before)
            .after(&after.row),
    );
    Ok(after)
}

/// Keeps workers from moving the job meanwhile.
async fn job_lock(tx: &WriteTx<'_>, id: JobId) -> Result<JobRow> {
    queue_jobs::table
        .select(JobRow::as_select())
        .filter(queue_jobs::domain_id.eq_any(domains::table.select(domains::id)))
        .filter(queue_jobs::id.eq(id))
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("job")
}
