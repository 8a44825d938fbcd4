//! `GET /api/v1/jobs/{job_id}`

use actix_web::{HttpResponse, get};
use db_core::JobId;
use db_core::models::job::job_get;
use db_core::rbac::held;

use super::JobDetails;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Shows a job, how its attempts ended, and what it carries where that may be shown.
#[utoipa::path(tag = "jobs", params(("job_id" = Uuid, Path)), responses((status = 200, body = JobDetails)))]
#[get("/jobs/{job_id}")]
pub(super) async fn get_job(
    can: Can<held::JobRead, OnPlatform>,
    Path((id,)): Path<(JobId,)>,
) -> Result<HttpResponse, Problem> {
    let job = can.read_once("get_job", async |tx| job_get(tx, id).await).await?;
    Ok(answer::ok(&JobDetails::from(job)))
}
