//! `POST /api/v1/jobs/{job_id}/retry`

use actix_web::{HttpResponse, post};
use db_core::JobId;
use db_core::models::job::job_retry;
use db_core::rbac::held;

use super::JobDetails;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Puts a dead or cancelled job back in line, with one more attempt.
#[utoipa::path(tag = "jobs", params(("job_id" = Uuid, Path)), responses((status = 200, body = JobDetails)))]
#[post("/jobs/{job_id}/retry")]
pub(super) async fn retry_job(
    can: Can<held::JobUpdate, OnPlatform>,
    Path((id,)): Path<(JobId,)>,
) -> Result<HttpResponse, Problem> {
    let job = can.write("retry_job", async |tx| job_retry(tx, id).await).await?;
    Ok(answer::ok(&JobDetails::from(job)))
}
