//! `DELETE /api/v1/sessions/current`

use std::time::Duration;

use actix_web::{HttpResponse, delete, web};
use db_core::models::session::session_end_current;

use super::cookie;
use crate::extract::{Client, SignedIn};
use crate::problem::Problem;
use crate::state::Worker;

/// Signs out: ends the session that the cookie names.
#[utoipa::path(tag = "sessions", responses((status = 204)))]
#[delete("/sessions/current")]
pub(super) async fn end_session(
    caller: SignedIn,
    worker: web::Data<Worker>,
    client: Client,
) -> Result<HttpResponse, Problem> {
    caller
        .write("end_session", async |tx| session_end_current(tx).await)
        .await?;
    Ok(HttpResponse::NoContent()
        .cookie(cookie(worker.state(), &client, "", Duration::ZERO))
        .finish())
}
