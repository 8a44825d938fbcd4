//! `PATCH /api/v1/users/{user_id}`

use actix_web::{HttpResponse, patch};
use db_core::UserId;
use db_core::models::user::{UserPatch, check_email, user_update};
use db_core::rbac::held;
use db_core::text::check_name;
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
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@\\s]+@[^@\\s]+$")]
    email: Option<String>,
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
}

impl Check for UpdateUser {
    fn check(&self, check: &mut Checker) {
        check.optional("email", self.email.as_ref(), |email| check_email(email));
        check.optional("name", self.name.as_ref(), |name| check_name(name));
    }
}

/// Changes an account. The caller must hold all that it holds.
#[utoipa::path(tag = "users", params(("user_id" = Uuid, Path), IfMatch), request_body = UpdateUser,
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
