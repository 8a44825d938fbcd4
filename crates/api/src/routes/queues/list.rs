//! `GET /api/v1/queues`

use actix_web::{HttpResponse, get};
use db_core::models::queue::queue_counts;
use db_core::rbac::held;
use serde::Serialize;
use utoipa::ToSchema;

use super::{QueueView, grouped};
use crate::answer;
use crate::extract::{Can, OnPlatform};
use crate::problem::Problem;

/// All queues.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queues {
    /// By name.
    items: Vec<QueueView>,
}

/// Counts the jobs of all domains by queue, kind and state. There are few queues: the list has one page.
#[utoipa::path(tag = "jobs", responses((status = 200, body = Queues)))]
#[get("/queues")]
pub(super) async fn list_queues(can: Can<held::JobRead, OnPlatform>) -> Result<HttpResponse, Problem> {
    let rows = can
        .read_once("list_queues", async |tx| queue_counts(tx).await)
        .await?;
    Ok(answer::ok(&Queues { items: grouped(rows) }))
}
