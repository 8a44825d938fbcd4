//! `POST /api/v1/jobs/{job_id}/cancel`

use actix_web::{HttpResponse, post};
use db_core::JobId;
use db_core::models::job::job_cancel;
use db_core::rbac::held;

use super::JobDetails;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Cancels a waiting job. A running one is asked to stop, and shows `cancel_requested_at` meanwhile.
#[utoipa::path(tag = "jobs", params(("job_id" = Uuid, Path)), responses((status = 200, body = JobDetails)))]
#[post("/jobs/{job_id}/cancel")]
pub(super) async fn cancel_job(
    can: Can<held::JobUpdate, OnPlatform>,
    Path((id,)): Path<(JobId,)>,
) -> Result<HttpResponse, Problem> {
    let job = can
        .write("cancel_job", async |tx| job_cancel(tx, id).await)
        .await?;
    Ok(answer::ok(&JobDetails::from(job)))
}
