//! `GET /api/db/status`

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer;
use crate::state::Worker;

/// Where the installation stands. Open to all, and says no more than this.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetupStatus {
    /// Whether a database address is there and answers.
    configured: bool,
    /// Whether the installation is set up.
    initialized: bool,
    /// Always `postgresql`.
    dialect: &'static str,
}

/// Whether the installation is set up.
#[utoipa::path(tag = "setup", security(()), responses((status = 200, body = SetupStatus)))]
#[get("/api/db/status")]
pub(super) async fn get_setup_status(worker: web::Data<Worker>) -> HttpResponse {
    let (configured, initialized) = worker.state().status(worker.ready_pool().as_ref()).await;
    answer::ok(&SetupStatus {
        configured,
        initialized,
        dialect: "postgresql",
    })
}
