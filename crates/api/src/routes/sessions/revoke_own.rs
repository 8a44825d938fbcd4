//! `DELETE /api/v1/me/sessions/{session_id}`

use actix_web::{HttpResponse, delete};
use db_core::SessionId;
use db_core::models::session::session_revoke;
use db_core::models::user::user_current;

use crate::answer;
use crate::extract::{Path, SignedIn};
use crate::problem::Problem;

/// Ends one of the caller's own sessions, with effect at its next request.
#[utoipa::path(tag = "me", params(("session_id" = Uuid, Path)), responses((status = 204)))]
#[delete("/me/sessions/{session_id}")]
pub(super) async fn revoke_own_session(
    caller: SignedIn,
    Path((id,)): Path<(SessionId,)>,
) -> Result<HttpResponse, Problem> {
    caller
        .write("revoke_own_session", async |tx| {
            let user = user_current(tx).await?;
            session_revoke(tx, user.id, id).await
        })
        .await?;
    Ok(answer::no_content())
}
