//! `POST /api/v1/jobs/{job_id}/discard`

use actix_web::{HttpResponse, post};
use db_core::JobId;
use db_core::models::job::job_discard;
use db_core::rbac::held;

use super::JobDetails;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Gives a dead job up for good: it becomes cancelled, and retention takes it.
#[utoipa::path(tag = "jobs", params(("job_id" = Uuid, Path)), responses((status = 200, body = JobDetails)))]
#[post("/jobs/{job_id}/discard")]
pub(super) async fn discard_job(
    can: Can<held::JobUpdate, OnPlatform>,
    Path((id,)): Path<(JobId,)>,
) -> Result<HttpResponse, Problem> {
    let job = can
        .write("discard_job", async |tx| job_discard(tx, id).await)
        .await?;
    Ok(answer::ok(&JobDetails::from(job)))
}
