//! `POST /api/v1/users`

use actix_web::{HttpResponse, post};
use db_core::models::user::{NewUser, check_email, check_password, user_insert};
use db_core::rbac::held;
use db_core::text::check_name;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::UserView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InDomain, secret};
use crate::problem::Problem;

/// An account to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// E-mail address; kept in lower case.
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@\\s]+@[^@\\s]+$")]
    email: String,
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Password, 10 to 256 characters.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    password: SecretString,
}

impl Check for CreateUser {
    fn check(&self, check: &mut Checker) {
        check.field("email", check_email(&self.email));
        check.field("name", check_name(&self.name));
        check.field("password", check_password(&self.password));
    }
}

/// Makes an account. It has no role yet.
#[utoipa::path(tag = "users", request_body = CreateUser, responses((status = 201, body = UserView)))]
#[post("/users")]
pub(super) async fn create_user(
    can: Can<held::UserCreate, InDomain>,
    Body(body): Body<CreateUser>,
) -> Result<HttpResponse, Problem> {
    let passwords = can.pool().passwords();
    let password = passwords.hash(&body.password)?;
    let user = can
        .write_hashing("create_user", async |tx| {
            let new = NewUser {
                id: tx.new_id(),
                email: &body.email,
                name: &body.name,
                password: &password,
            };
            user_insert(tx, &new).await
        })
        .await?;
    Ok(answer::created(
        format!("/api/v1/users/{}", user.id),
        user.version,
        &UserView::from(user),
    ))
}
