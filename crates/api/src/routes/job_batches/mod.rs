//! Batches of background jobs, for platform operators.

mod get;
mod list;

use chrono::{DateTime, Utc};
use db_core::models::job_batch::JobBatch;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(list::list_job_batches).service(get::get_job_batch);
}

/// Jobs that are counted together, and how far they have come.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobBatchView {
    /// Its id; newest is largest.
    id: Uuid,
    /// Domain of the batch and its jobs.
    domain_id: Uuid,
    /// What it is for.
    name: String,
    /// Jobs put in so far.
    total: i64,
    /// Jobs that have not finished.
    pending: i64,
    /// Jobs completed.
    succeeded: i64,
    /// Jobs that became dead letters.
    failed: i64,
    /// Jobs cancelled.
    cancelled: i64,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Since when it takes no more jobs.
    sealed_at: Option<DateTime<Utc>>,
    /// When the last job of the sealed batch had finished.
    finished_at: Option<DateTime<Utc>>,
}

impl From<JobBatch> for JobBatchView {
    fn from(row: JobBatch) -> Self {
        Self {
            id: row.id.uuid(),
            domain_id: row.domain_id.uuid(),
            pending: row.total - row.succeeded - row.failed - row.cancelled,
            name: row.name,
            total: row.total,
            succeeded: row.succeeded,
            failed: row.failed,
            cancelled: row.cancelled,
            created_at: row.created_at,
            sealed_at: row.sealed_at,
            finished_at: row.finished_at,
        }
    }
}
