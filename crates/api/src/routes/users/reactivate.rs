//! `POST /api/v1/users/{user_id}/reactivate`

use actix_web::{HttpResponse, post};
use db_core::UserId;
use db_core::models::user::{UserStatus, user_set_status};
use db_core::rbac::held;

use super::UserView;
use crate::answer;
use crate::extract::{Can, InDomain, Path};
use crate::problem::Problem;

/// Reactivates an account, with the roles and API keys that it had. The caller must hold all that it holds.
#[utoipa::path(tag = "users", params(("user_id" = Uuid, Path)), responses((status = 200, body = UserView)))]
#[post("/users/{user_id}/reactivate")]
pub(super) async fn reactivate_user(
    can: Can<held::UserDeactivate, InDomain>,
    Path((id,)): Path<(UserId,)>,
) -> Result<HttpResponse, Problem> {
    let user = can
        .write("reactivate_user", async |tx| {
            user_set_status(tx, id, UserStatus::Active).await
        })
        .await?;
    Ok(answer::resource(user.version, &UserView::from(user)))
}
