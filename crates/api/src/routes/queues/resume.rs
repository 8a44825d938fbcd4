//! `POST /api/v1/queues/{queue}/resume`

use actix_web::{HttpResponse, post};
use db_core::models::queue::queue_resume;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Serves a paused queue again. Once more is no error.
#[utoipa::path(tag = "jobs", params(("queue" = String, Path)), responses((status = 204)))]
#[post("/queues/{queue}/resume")]
pub(super) async fn resume_queue(
    can: Can<held::JobUpdate, OnPlatform>,
    Path((queue,)): Path<(String,)>,
) -> Result<HttpResponse, Problem> {
    can.write("resume_queue", async |tx| queue_resume(tx, &queue).await)
        .await?;
    Ok(answer::no_content())
}
