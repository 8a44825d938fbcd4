//! `DELETE /api/v1/users/{user_id}/sessions/{session_id}`

use actix_web::{HttpResponse, delete};
use db_core::models::session::session_revoke;
use db_core::rbac::held;
use db_core::{SessionId, UserId};

use crate::answer;
use crate::extract::{Can, InDomain, Path};
use crate::problem::Problem;

/// Ends a session of a user, with effect at its next request.
#[utoipa::path(tag = "sessions", params(("user_id" = Uuid, Path), ("session_id" = Uuid, Path)), responses((status = 204)))]
#[delete("/users/{user_id}/sessions/{session_id}")]
pub(super) async fn revoke_session(
    can: Can<held::SessionRevoke, InDomain>,
    Path((user, id)): Path<(UserId, SessionId)>,
) -> Result<HttpResponse, Problem> {
    can.write("revoke_session", async |tx| session_revoke(tx, user, id).await)
        .await?;
    Ok(answer::no_content())
}
