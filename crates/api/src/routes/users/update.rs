//! `PATCH /api/v1/users/{user_id}`

use actix_web::{HttpResponse, patch};
use db_core::UserId;
use db_core::models::text::check_name;
use db_core::models::user::{UserPatch, check_email, user_update};
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::ToSchema;

use super::UserView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InDomain, Path};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateUser {
    /// E-mail address; kept in lower case.
    email: Option<String>,
    /// Name shown to people.
    name: Option<String>,
}

impl Check for UpdateUser {
    fn check(&self, check: &mut Checker) {
        check.optional("email", self.email.as_ref(), |email| check_email(email));
        check.optional("name", self.name.as_ref(), |name| check_name(name));
    }
}

/// Changes an account. The caller must hold all that it holds.
#[utoipa::path(tag = "users", params(("user_id" = Uuid, Path)), request_body = UpdateUser,
    responses((status = 200, body = UserView)))]
#[patch("/users/{user_id}")]
pub(super) async fn update_user(
    can: Can<held::UserUpdate, InDomain>,
    Path((id,)): Path<(UserId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateUser>,
) -> Result<HttpResponse, Problem> {
    let patch = UserPatch {
        email: body.email,
        name: body.name,
    };
    let user = can
        .write("update_user", async |tx| {
            user_update(tx, id, version, &patch).await
        })
        .await?;
    Ok(answer::resource(user.version, &UserView::from(user)))
}
