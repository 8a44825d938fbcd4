//! Schedules of background jobs, for platform operators.

mod list;
mod pause;
mod resume;

use chrono::{DateTime, Utc};
use db_core::models::job_schedule::JobSchedule;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(list::list_job_schedules)
        .service(pause::pause_job_schedule)
        .service(resume::resume_job_schedule);
}

/// A job that is enqueued again and again.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobScheduleView {
    /// Domain that the jobs act in.
    domain_id: Uuid,
    /// Name, unique within the domain.
    name: String,
    /// Queue of the jobs.
    queue: String,
    /// Kind of the jobs.
    kind: String,
    /// When: five cron fields, or six with seconds first.
    cron: String,
    /// IANA time zone that they are meant in.
    time_zone: String,
    /// What becomes of firings that nobody was there for: `skip`, `once` (one job for all of them), `all`.
    #[schema(pattern = "^(skip|once|all)$")]
    missed: String,
    /// Next firing; null when there is none.
    next_at: Option<DateTime<Utc>>,
    /// Last firing that was due.
    last_at: Option<DateTime<Utc>>,
    /// Since when it is paused; null while it fires.
    paused_at: Option<DateTime<Utc>>,
}

impl From<JobSchedule> for JobScheduleView {
    fn from(row: JobSchedule) -> Self {
        Self {
            domain_id: row.domain_id.uuid(),
            name: row.name,
            queue: row.queue,
            kind: row.kind,
            cron: row.cron,
            time_zone: row.time_zone,
            missed: row.missed,
            next_at: row.next_at,
            last_at: row.last_at,
            paused_at: row.paused_at,
        }
    }
}
