//! `POST /api/v1/job-schedules/{domain_id}/{schedule}/resume`

use actix_web::{HttpResponse, post};
use db_core::DomainId;
use db_core::models::job_schedule::{ScheduleKey, schedule_set_paused};
use db_core::rbac::held;

use super::JobScheduleView;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Lets a paused schedule fire again. Its firings of the meantime count as missed. Once more is no error.
#[utoipa::path(tag = "jobs", params(("domain_id" = Uuid, Path), ("schedule" = String, Path)),
    responses((status = 200, body = JobScheduleView)))]
#[post("/job-schedules/{domain_id}/{schedule}/resume")]
pub(super) async fn resume_job_schedule(
    can: Can<held::JobUpdate, OnPlatform>,
    Path((domain, name)): Path<(DomainId, String)>,
) -> Result<HttpResponse, Problem> {
    let key = ScheduleKey { domain, name };
    let schedule = can
        .write("resume_job_schedule", async |tx| {
            schedule_set_paused(tx, &key, false).await
        })
        .await?;
    Ok(answer::ok(&JobScheduleView::from(schedule)))
}
