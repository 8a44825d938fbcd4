//! `GET /api/v1/job-batches/{batch_id}`

use actix_web::{HttpResponse, get};
use db_core::BatchId;
use db_core::models::job_batch::batch_get;
use db_core::rbac::held;

use super::JobBatchView;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Shows how far a batch has come. Its counts are exact.
#[utoipa::path(tag = "jobs", params(("batch_id" = Uuid, Path)), responses((status = 200, body = JobBatchView)))]
#[get("/job-batches/{batch_id}")]
pub(super) async fn get_job_batch(
    can: Can<held::JobRead, OnPlatform>,
    Path((id,)): Path<(BatchId,)>,
) -> Result<HttpResponse, Problem> {
    let batch = can
        .read_once("get_job_batch", async |tx| batch_get(tx, id).await)
        .await?;
    Ok(answer::ok(&JobBatchView::from(batch)))
}
