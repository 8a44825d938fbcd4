//! `GET /api/v1/users/{user_id}`

use actix_web::{HttpResponse, get};
use db_core::UserId;
use db_core::models::user::user_get;
use db_core::rbac::held;

use super::UserView;
use crate::answer;
use crate::extract::{Can, InDomain, Path};
use crate::problem::Problem;

/// Shows an account.
#[utoipa::path(tag = "users", params(("user_id" = Uuid, Path)), responses((status = 200, body = UserView)))]
#[get("/users/{user_id}")]
pub(super) async fn get_user(
    can: Can<held::UserRead, InDomain>,
    Path((id,)): Path<(UserId,)>,
) -> Result<HttpResponse, Problem> {
    let user = can
        .read_once("get_user", async |tx| user_get(tx, id).await)
        .await?;
    Ok(answer::resource(user.version, &UserView::from(user)))
}
