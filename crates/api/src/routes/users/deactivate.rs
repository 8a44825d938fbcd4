//! `POST /api/v1/users/{user_id}/deactivate`

use actix_web::{HttpResponse, post};
use db_core::UserId;
use db_core::models::user::{UserStatus, user_set_status};
use db_core::rbac::held;

use super::UserView;
use crate::answer;
use crate::extract::{Can, InDomain, Path};
use crate::problem::Problem;

/// Deactivates an account: its sessions end, its API keys rest. The caller must hold all that it holds.
#[utoipa::path(tag = "users", params(("user_id" = Uuid, Path)), responses((status = 200, body = UserView)))]
#[post("/users/{user_id}/deactivate")]
pub(super) async fn deactivate_user(
    can: Can<held::UserDeactivate, InDomain>,
    Path((id,)): Path<(UserId,)>,
) -> Result<HttpResponse, Problem> {
    let user = can
        .write("deactivate_user", async |tx| {
            user_set_status(tx, id, UserStatus::Deactivated).await
        })
        .await?;
    Ok(answer::resource(user.version, &UserView::from(user)))
}
