//! Background jobs of all domains, for platform operators.

mod cancel;
mod discard;
mod get;
mod list;
mod retry;

use chrono::{DateTime, Utc};
use db_core::models::job::{JobDetail, JobRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_jobs)
        .service(get::get_job)
        .service(retry::retry_job)
        .service(discard::discard_job)
        .service(cancel::cancel_job);
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
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

impl From<JobState> for db_core::jobs::JobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Scheduled => Self::Scheduled,
            JobState::Available => Self::Available,
            JobState::Running => Self::Running,
            JobState::Completed => Self::Completed,
            JobState::Dead => Self::Dead,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobView {
    /// Its id; newest is largest.
    id: Uuid,
    /// Domain that it acts in; the platform domain for jobs of the installation.
    domain_id: Uuid,
    /// Queue that it stands in.
    queue: String,
    /// Names its handler.
    kind: String,
    /// Where it stands.
    #[schema(value_type = JobState, inline)]
    state: String,
    /// 0 urgent, 1 high, 2 normal, 3 low.
    priority: i16,
    /// Not to be run before.
    run_at: DateTime<Utc>,
    /// How often it was begun.
    attempt: i32,
    /// Attempts after which a failure is final.
    max_attempts: i32,
    /// When its last attempt began.
    started_at: Option<DateTime<Utc>>,
    /// When it was completed, given up or cancelled.
    finished_at: Option<DateTime<Utc>>,
    /// When somebody asked the running job to stop.
    cancel_requested_at: Option<DateTime<Utc>>,
    /// Batch that it is counted in.
    batch_id: Option<Uuid>,
    /// When it was enqueued.
    created_at: DateTime<Utc>,
}

impl From<JobRow> for JobView {
    fn from(row: JobRow) -> Self {
        Self {
            id: row.id.uuid(),
            domain_id: row.domain_id.uuid(),
            queue: row.queue,
            kind: row.kind,
            state: row.state,
            priority: row.priority,
            run_at: row.run_at,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            started_at: row.started_at,
            finished_at: row.finished_at,
            cancel_requested_at: row.cancel_requested_at,
            batch_id: row.batch_id.map(db_core::BatchId::uuid),
            created_at: row.created_at,
        }
    }
}

/// A job, how its attempts ended, and what it carries where that may be shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobDetails {
    /// The job.
    #[serde(flatten)]
    job: JobView,
    /// What the handler is given; null where its kind is not one whose payloads operators may see.
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    /// How the last twenty attempts ended that did not complete it: objects with `attempt`, `at`, `outcome` and `error`.
    #[schema(value_type = Vec<Object>)]
    errors: Value,
    /// `traceparent` of whoever enqueued it.
    trace: Option<String>,
}

impl From<JobDetail> for JobDetails {
    fn from(detail: JobDetail) -> Self {
        Self {
            payload: detail.shown_payload().cloned(),
            job: detail.row.into(),
            errors: detail.errors,
            trace: detail.trace,
        }
    }
}
