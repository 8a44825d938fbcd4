//! `POST /api/v1/queues/{queue}/pause`

use actix_web::{HttpResponse, post};
use db_core::models::queue::queue_pause;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Pauses a queue: no worker begins a job of it any more. What runs goes on. Once more is no error.
#[utoipa::path(tag = "jobs", params(("queue" = String, Path)), responses((status = 204)))]
#[post("/queues/{queue}/pause")]
pub(super) async fn pause_queue(
    can: Can<held::JobUpdate, OnPlatform>,
    Path((queue,)): Path<(String,)>,
) -> Result<HttpResponse, Problem> {
    can.write("pause_queue", async |tx| queue_pause(tx, &queue).await)
        .await?;
    Ok(answer::no_content())
}
