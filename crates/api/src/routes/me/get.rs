//! `GET /api/v1/me`

use actix_web::{HttpResponse, get};
use db_core::models::user::{User, user_current};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer;
use crate::extract::Own;
use crate::problem::Problem;

/// The caller's account.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// Id of the account.
    id: Uuid,
    /// Its e-mail address.
    email: String,
    /// Its name.
    name: String,
}

impl From<User> for Me {
    fn from(user: User) -> Self {
        Self {
            id: user.id.uuid(),
            email: user.email,
            name: user.name,
        }
    }
}

/// Who the caller is.
#[utoipa::path(tag = "me", responses((status = 200, body = Me)))]
#[get("/me")]
pub(super) async fn get_me(own: Own) -> Result<HttpResponse, Problem> {
    let user = own.read("get_me", async |tx| user_current(tx).await).await?;
    Ok(answer::ok(&Me::from(user)))
}
